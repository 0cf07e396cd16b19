"""A bounded cache by key; what was not used for longest goes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

ValueT = TypeVar("ValueT")


class LRUCache(Generic[ValueT]):
    """Safe to use from several threads; a value is made once, by the first who asks, while the others wait for it.

    Args:
        capacity: how many values are held.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._values: OrderedDict[object, ValueT] = OrderedDict()
        self._making: dict[object, threading.Lock] = {}

    def peek(self, key: object) -> ValueT | None:
        """The value of a key, if it is there."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: object, value: ValueT) -> None:
        """Holds a value that was come by otherwise."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)

    def get(self, key: object, make: Callable[[], ValueT]) -> ValueT:
        """The value of a key, made if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._values[key]
            try:
                value = make()
                self.put(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value
