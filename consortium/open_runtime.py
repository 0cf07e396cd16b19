"""Opens what the settings name: database, blobs, queue, notifications. Here alone ports meet what fills them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from consortium.blobs import open_blobs
from consortium.clock import Clock, SystemClock
from consortium.db import Database
from consortium.notify.by_redis import RedisNotifier
from consortium.notify.local import LocalNotifier
from consortium.notify.port import Notifier
from consortium.queue.by_celery import CeleryQueue
from consortium.queue.embedded import EmbeddedQueue
from consortium.queue.port import TaskQueue
from consortium.reconciler import Reconciler
from consortium.replay import BuildAlgorithm, LearningStates, build_algorithm
from consortium.runtime import Runtime
from consortium.settings import Settings
from consortium.task_runner import TaskRunner
from consortium.work import foresee_work


def _assemble(settings: Settings, queue: TaskQueue, notifier: Notifier, build: BuildAlgorithm, clock: Clock) -> Runtime:
    db = Database(settings.database)
    return Runtime(
        db=db,
        blobs=open_blobs(settings.blobs),
        queue=queue,
        notifier=notifier,
        clock=clock,
        states=LearningStates(build),
        standings=foresee_work(db, notifier),
    )


@contextmanager
def open_server_runtime(
    settings: Settings, *, build: BuildAlgorithm = build_algorithm, clock: Clock | None = None
) -> Iterator[Runtime]:
    """What the server works with; without a Redis it has the workers and the reconciler in its own process.

    Args:
        settings: the service's.
        build: makes a plan's algorithm.
        clock: the system's by default.
    """
    clock = clock or SystemClock()
    if settings.redis is not None:
        notifier = RedisNotifier(settings.redis)
        runtime = _assemble(settings, CeleryQueue(settings.redis), notifier, build, clock)
        try:
            yield runtime
        finally:
            notifier.close()
            runtime.db.close()
        return
    queue = EmbeddedQueue(workers=settings.worker_concurrency or min(4, os.cpu_count() or 1))
    runtime = _assemble(settings, queue, LocalNotifier(), build, clock)
    reconciler = Reconciler(runtime, every_s=settings.reconcile_s)
    runner = TaskRunner(runtime, give_up_after=settings.task_attempts)
    runner.start()
    queue.start(runner.run)
    reconciler.start()
    try:
        yield runtime
    finally:
        reconciler.close()
        queue.close()
        runner.close()
        runtime.db.close()


def open_worker_runtime(settings: Settings, *, build: BuildAlgorithm = build_algorithm) -> Runtime:
    """What one worker process works with.

    Raises:
        ValueError: no Redis is set, so that there is nothing to work for.
    """
    if settings.redis is None:
        raise ValueError("CONSORTIUM_REDIS_URL is not set: the server does its workers' tasks itself")
    return _assemble(settings, CeleryQueue(settings.redis), RedisNotifier(settings.redis), build, SystemClock())
