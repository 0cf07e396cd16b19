"""Reads for several who ask at the same time: one of them reads for all, as one commit may flush for many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class _Batch(Generic[KeyT, ValueT]):
    """Those who wait for the same reading."""

    def __init__(self) -> None:
        self.keys: set[KeyT] = set()
        self.found: Mapping[KeyT, ValueT] | None = None


class Together(Generic[KeyT, ValueT]):
    """Safe to use from several threads. A reading begins after everyone who gets its answer has asked, so that nobody
    is told what was true before; who asks while one is under way waits for the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._gathering: _Batch[KeyT, ValueT] = _Batch()

    def get(self, key: KeyT, read: Callable[[AbstractSet[KeyT]], Mapping[KeyT, ValueT]]) -> ValueT | None:
        """What is found for a key; None if there is nothing.

        Args:
            key: what is asked for.
            read: reads for several keys at once. If it raises, everyone who was to get its answer reads anew.
        """
        with self._lock:
            batch = self._gathering
            batch.keys.add(key)
        with self._turn:
            if batch.found is None:
                time.sleep(0)  # lets those ask who were woken with this one
                with self._lock:
                    if self._gathering is batch:
                        self._gathering = _Batch()
                batch.found = read(batch.keys)
        return batch.found.get(key)
