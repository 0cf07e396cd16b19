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

import redis

from consortium.clock import Clock

_REMEMBER_S = 180
_MOST = 1_000_000


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
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1) if redis_url else None
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
        if self._redis is not None:  # if it is away this process' own memory is what there is
            with contextlib.suppress(redis.RedisError):
                return bool(self._redis.set(f"fraud-consortium:jti:{jti}", b"", nx=True, ex=_REMEMBER_S))
        return True
