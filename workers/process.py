"""One worker process: its runtime, its reconciler, and how it is started."""

from __future__ import annotations

import os

from celery import Celery

import learning.warm_up
from consortium.cli.client import EXIT_FAILED, refuse
from consortium.cli.configuration import read_settings
from consortium.errors import ConsortiumError
from consortium.logs import configure_logging
from consortium.open_runtime import open_worker_runtime
from consortium.reconciler import Reconciler
from consortium.rounds import protection
from consortium.serve import keep_loaded, prepare
from consortium.settings import Settings
from consortium.task_runner import TaskRunner
from workers.app import make_worker_app

__all__ = ["current_runner", "main"]

_RUNNER: list[TaskRunner] = []


def current_runner() -> TaskRunner:
    """What runs this process' tasks, opened on first use."""
    if not _RUNNER:
        settings = Settings()
        _RUNNER.append(TaskRunner(open_worker_runtime(settings), give_up_after=settings.task_attempts))
        _RUNNER[0].start()
    return _RUNNER[0]


def main(settings: Settings | None = None) -> None:
    """Starts a worker of several threads: they share what was compiled and replayed, and sums need no lock."""
    settings = settings or read_settings()
    configure_logging(settings.log_level)
    try:
        prepare(settings)
        app: Celery = make_worker_app(settings)
        runtime = open_worker_runtime(settings)
    except (ConsortiumError, ValueError) as error:
        refuse(str(error), EXIT_FAILED)
    # The first round of a training would otherwise wait for each worker that comes to it.
    protection.warm_up()
    learning.warm_up.warm_up()
    keep_loaded()
    runner = TaskRunner(runtime, give_up_after=settings.task_attempts)
    runner.start()
    _RUNNER.append(runner)
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
        runner.close()
        runtime.notifier.close()
        runtime.db.close()
