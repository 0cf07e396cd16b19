"""A signed request is taken once: its `jti` is remembered for as long as its token could be valid.

In Redis, where there is one, so that several servers share it; always also in this process. What a restart forgets
cannot be replayed: tokens that were issued before the process began are refused (the caller signs again).

While Redis is away, and for what it knew when it lost its memory, a token is taken once by every server process. That
is let be: to refuse all banks meanwhile would stop the trainings, whose database is there, for requests that may be
repeated anyway (docs/protocol.md, section 1).
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from typing import Any

import redis
from redis.connection import ConnectionPool

from consortium.clock import Clock

_REMEMBER_S = 180
_MOST = 1_000_000


class _SharedMemory:
    """What several servers remember together, in Redis.

    Every request of a bank asks it once, and waits. So each thread has a connection of its own and uses it directly:
    what the client does besides, for all that may be asked of it, takes longer than the answer.

    Args:
        url: Redis's.
    """

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(url, max_connections=1_000_000, socket_timeout=1, socket_connect_timeout=1)
        self._own = threading.local()

    def add(self, name: str) -> bool:
        """Remembers a name; whether it is new.

        Raises:
            RedisError: Redis does not answer.
        """
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._pool.make_connection()
        try:
            return self._add(connection, name)
        except redis.ConnectionError:  # it may have been started anew since it was last asked
            return self._add(connection, name)

    @staticmethod
    def _add(connection: Any, name: str) -> bool:
        try:
            connection.send_command("SET", f"fraud-consortium:jti:{name}", b"", "NX", "EX", _REMEMBER_S)
            return connection.read_response() is not None
        except BaseException:
            connection.disconnect()  # else the next to ask would be told what was answered to this one
            raise


class ReplayGuard:
    """Remembers the requests that were seen.

    Args:
        clock: tells the time.
        redis_url: shared memory; None for this process alone.
    """

    def __init__(self, clock: Clock, redis_url: str | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._shared = _SharedMemory(redis_url) if redis_url else None
        # Tokens carry whole seconds.
        self.not_before = float(int(clock.now()))

    def is_new(self, jti: str) -> bool:
        """Whether this is the first time; remembers it."""
        now = self._clock.now()
        with self._lock:
            while self._seen and (next(iter(self._seen.values())) < now or len(self._seen) > _MOST):
                self._seen.popitem(last=False)
            if jti in self._seen:
                return False
            self._seen[jti] = now + _REMEMBER_S
        if self._shared is not None:  # if it is away this process' own memory is what there is
            with contextlib.suppress(redis.RedisError):
                return self._shared.add(jti)
        return True
