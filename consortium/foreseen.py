"""What those who are woken together will ask for: read for all of them at once, before they are woken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from consortium.notify.port import Notifier

ValueT = TypeVar("ValueT")

#: Whoever comes for it later reads for himself. Those who were woken come at once.
_HOLDS_S = 1.0

log = structlog.get_logger("consortium.foreseen")


class _Read(NamedTuple, Generic[ValueT]):
    """What was read for a subject after so many notices, and until when it holds (monotonic seconds)."""

    notices: int
    until: float
    value: ValueT


class Foreseen(Generic[ValueT]):
    """Safe to use from several threads. What is handed out was read after the subject's latest notice, and only once:
    whoever has acted upon it, or asks without having been woken, reads for himself.

    Args:
        notifier: who wakes; it has this done before.
        read: reads for several subjects at once; those for whom there is nothing may be left out.
    """

    def __init__(self, notifier: Notifier, read: Callable[[Sequence[str]], Mapping[str, ValueT]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._found: dict[str, _Read[ValueT]] = {}
        notifier.before_waking(self._look)

    def get(self, subject: str, notices: int) -> ValueT | None:
        """What there is for a subject; None if there is nothing.

        Args:
            subject: who asks.
            notices: its ticket from the notifier, taken before.
        """
        with self._lock:
            found = self._found.pop(subject, None)
        if found is not None and found.notices == notices and time.monotonic() < found.until:
            return found.value
        return self._read([subject]).get(subject)

    def _look(self, notices: Mapping[str, int]) -> None:
        until = time.monotonic() + _HOLDS_S
        try:
            values = self._read(sorted(notices))
        except SQLAlchemyError as error:  # whoever is woken meets it himself, and answers for it
            log.warning("foreseen:not-read", error=type(error).__name__)
            return
        with self._lock:
            for subject, value in values.items():
                before = self._found.get(subject)
                if before is None or before.notices <= notices[subject]:
                    self._found[subject] = _Read(notices[subject], until, value)
