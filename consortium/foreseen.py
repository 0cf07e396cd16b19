"""What those who are woken together will ask for: read for all of them at once, before they are woken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import structlog

from consortium.notify.port import Notifier

ValueT = TypeVar("ValueT")

#: Whoever comes for it later reads for himself. Those who were woken come at once.
_HOLDS_S = 1.0

log = structlog.get_logger("consortium.foreseen")


class _Reading(Generic[ValueT]):
    """What is read for some subjects, each after so many notices; holds until a time in monotonic seconds."""

    def __init__(self, notices: Mapping[str, int]) -> None:
        self.notices = notices
        self.until = time.monotonic() + _HOLDS_S
        self.values: Mapping[str, ValueT] | None = None


class Foreseen(Generic[ValueT]):
    """Safe to use from several threads. What is handed out was read after the subject's latest notice, to the first who
    asks for the subject since the reading began, and only once: whoever has acted upon it, or asks without having been
    woken, reads for himself.

    Args:
        notifier: who wakes; it has this done before.
        read: reads for several subjects at once; those for whom there is nothing may be left out.
    """

    def __init__(self, notifier: Notifier, read: Callable[[Sequence[str]], Mapping[str, ValueT]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._for: dict[str, _Reading[ValueT]] = {}
        notifier.before_waking(self._look)

    def get(self, subject: str, notices: int) -> ValueT | None:
        """What there is for a subject; None if there is nothing.

        Args:
            subject: who asks.
            notices: its ticket from the notifier, taken before.
        """
        with self._lock:
            # Whoever asks while it is read for him has come too early, and will not be told of it later.
            reading = self._for.pop(subject, None)
        if (
            reading is not None
            and reading.values is not None
            and reading.notices[subject] == notices
            and time.monotonic() < reading.until
        ):
            return reading.values.get(subject)
        return self._read([subject]).get(subject)

    def _look(self, notices: Mapping[str, int]) -> None:
        reading: _Reading[ValueT] = _Reading(notices)
        with self._lock:
            # Not everybody comes for it: a progress stream waits too, and asks for nothing here.
            self._for = {subject: old for subject, old in self._for.items() if time.monotonic() < old.until}
            self._for.update(dict.fromkeys(notices, reading))
        try:
            reading.values = self._read(sorted(notices))
        except Exception as error:  # noqa: BLE001  # whoever is woken meets it himself, and answers for it
            log.warning("foreseen:not-read", error=type(error).__name__)
