"""One worker process: its runtime, its reconciler, and how it is started."""

from __future__ import annotations

import os

from celery import Celery

from consortium.logs import configure_logging
from consortium.open_runtime import open_worker_runtime, run_task
from consortium.queue.port import Task
from consortium.reconciler import Reconciler
from consortium.rounds.protection import warm_up
from consortium.runtime import Runtime
from consortium.settings import Settings
from workers.app import make_worker_app

__all__ = ["current_runtime", "main", "run"]

_RUNTIME: list[Runtime] = []


def current_runtime() -> Runtime:
    """This process' runtime, opened on first use."""
    if not _RUNTIME:
        _RUNTIME.append(open_worker_runtime(Settings()))
    return _RUNTIME[0]


def run(runtime: Runtime, task: Task) -> None:
    """Does a task."""
    run_task(runtime, task)


def main(settings: Settings | None = None) -> None:
    """Starts a worker of several threads: they share what was compiled and replayed, and sums need no lock."""
    settings = settings or Settings()
    configure_logging(settings.log_level)
    _RUNTIME.append(open_worker_runtime(settings))
    app: Celery = make_worker_app(settings)
    runtime = current_runtime()
    runtime.db.create()
    warm_up()
    reconciler = Reconciler(runtime, every_s=settings.reconcile_s)
    reconciler.start()
    threads = settings.worker_concurrency or os.cpu_count() or 1
    try:
        app.worker_main(
            ["worker", "--pool=threads", f"--concurrency={threads}", f"--loglevel={settings.log_level}",
             "--without-gossip", "--without-mingle", "--without-heartbeat", f"--hostname=worker-{os.getpid()}@%h"]
        )  # fmt: skip
    finally:
        reconciler.close()
        runtime.notifier.close()
        runtime.db.close()
