"""A value that is read from the database at most so often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

ValueT = TypeVar("ValueT")


class Remembered(Generic[ValueT]):
    """Safe to use from several threads; what another process changes is seen after `for_s` seconds.

    Args:
        for_s: how long a value holds, in seconds.
    """

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._lock = threading.Lock()
        self._kept: tuple[float, ValueT] | None = None

    def get(self, read: Callable[[], ValueT]) -> ValueT:
        """The value, read if it was not for so long."""
        with self._lock:
            now = time.monotonic()
            if self._kept is None or now >= self._kept[0]:
                self._kept = (now + self._for_s, read())
            return self._kept[1]

    def forget(self) -> None:
        """The next who asks reads it: this process has changed it."""
        with self._lock:
            self._kept = None
