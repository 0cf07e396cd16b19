"""Notices between processes, by Redis's publish and subscribe; a lost Redis costs a second, never a notice for good."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterable

import redis

from consortium.notify.local import LocalNotifier
from consortium.notify.port import BeforeWaking

_CHANNEL = "fraud-consortium:notices"


class RedisNotifier:
    """Publishes to all processes, and passes on to this one's waiters what it hears.

    Args:
        url: Redis's.
    """

    patience_s = 1.0

    def __init__(self, url: str) -> None:
        self._local = LocalNotifier()
        self._own = uuid.uuid4().hex
        self._redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
        self._listening = redis.Redis.from_url(url, socket_connect_timeout=2)
        self._closed = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="notices", daemon=True)
        self._started = False
        self._lock = threading.Lock()

    def ticket(self, subject: str) -> int:
        """The number of notices so far; listening begins with the first who asks."""
        with self._lock:
            if not self._started:
                self._listener.start()
                self._started = True
        return self._local.ticket(subject)

    def wait(self, subject: str, ticket: int, timeout_s: float) -> None:
        """Waits for the next notice after the ticket."""
        self._local.wait(subject, ticket, timeout_s)

    def before_waking(self, do: BeforeWaking) -> None:
        """Has something done before those are woken who wait in this process."""
        self._local.before_waking(do)

    def notify(self, subjects: Iterable[str]) -> None:
        """Notifies everyone who waits for these, here and elsewhere."""
        named = sorted(set(subjects))
        if not named:
            return
        self._local.notify(named)
        # Whoever waits elsewhere looks again within `patience_s`.
        with contextlib.suppress(redis.RedisError):
            self._redis.publish(_CHANNEL, ",".join([self._own, *named]))

    def close(self) -> None:
        """Stops listening."""
        self._closed.set()
        with contextlib.suppress(redis.RedisError, OSError):
            self._listening.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._listening.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(_CHANNEL)
                    while not self._closed.is_set():
                        message = subscription.get_message(timeout=1.0)
                        if message is None:
                            continue
                        sender, *named = message["data"].decode().split(",")
                        if sender != self._own:  # this process' waiters know already
                            self._local.notify(named)
            except (redis.RedisError, OSError, ValueError):
                self._closed.wait(0.5)
