"""Notices within one process."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from consortium.notify.port import BeforeWaking


class LocalNotifier:
    """A counter and a condition for every subject that somebody waits for."""

    patience_s = 20.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, list[threading.Event]] = {}
        self._before_waking: BeforeWaking | None = None

    def ticket(self, subject: str) -> int:
        """The number of notices so far."""
        with self._lock:
            return self._counts.get(subject, 0)

    def wait(self, subject: str, ticket: int, timeout_s: float) -> None:
        """Waits for the next notice after the ticket."""
        event = threading.Event()
        with self._lock:
            if self._counts.get(subject, 0) != ticket:
                return
            self._waiting.setdefault(subject, []).append(event)
        event.wait(timeout_s)
        with self._lock:
            waiting = self._waiting.get(subject, [])
            if event in waiting:
                waiting.remove(event)
            if not waiting:
                self._waiting.pop(subject, None)

    def before_waking(self, do: BeforeWaking) -> None:
        """Has something done before those are woken who wait."""
        self._before_waking = do

    def notify(self, subjects: Iterable[str]) -> None:
        """Notifies everyone who waits for these."""
        notices = {}
        with self._lock:
            for subject in subjects:
                self._counts[subject] = self._counts.get(subject, 0) + 1
                if subject in self._waiting:
                    notices[subject] = self._counts[subject]
        try:
            if notices and self._before_waking is not None:
                self._before_waking(notices)
        finally:
            with self._lock:
                for subject in notices:
                    for event in self._waiting.pop(subject, []):
                        event.set()

    def close(self) -> None:
        """Nothing listens here."""
