"""How many rounds were contributed to today (UTC): what the policy's rule asks."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

from bank_node.durable import Disk

SECONDS_A_DAY = 86_400
#: Every record is as long as the others, so that one is written over another.
_RECORD_BYTES = 64


class DailyUsage:
    """A counter that survives restarts; counted before a contribution leaves.

    Args:
        path: its file.
        disk: how files are changed.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, disk: Disk, clock: Callable[[], float]) -> None:
        self._path = path
        self._disk = disk
        self._clock = clock
        self._day, self._rounds = self._load()
        self._days, self._named = -1, ""

    def rounds_today(self) -> int:
        """Rounds counted since midnight (UTC)."""
        return self._rounds if self._day == self._today() else 0

    def count(self) -> None:
        """Counts one more."""
        self._day, self._rounds = self._today(), self.rounds_today() + 1
        # Not flushed to the disk: a power failure may forget a few rounds of a daily limit, and nothing else.
        record = json.dumps({"day": self._day, "rounds": self._rounds}).ljust(_RECORD_BYTES)
        self._disk.overwrite(self._path, record.encode(), flush=False)

    def _today(self) -> str:
        days = int(self._clock()) // SECONDS_A_DAY
        if days != self._days:
            self._days = days
            self._named = dt.datetime.fromtimestamp(days * SECONDS_A_DAY, tz=dt.UTC).date().isoformat()
        return self._named

    def _load(self) -> tuple[str, int]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            return str(stored["day"]), int(stored["rounds"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0
