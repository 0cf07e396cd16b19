"""The tasks by which Celery's workers run the service's: ids in, nothing out."""

from __future__ import annotations

import structlog
from celery import shared_task

from consortium.queue.by_celery import task_name
from consortium.queue.port import Task, TaskName
from workers.process import current_runner

log = structlog.get_logger("workers.tasks")


def _run(name: TaskName, *arguments: str | int) -> None:
    """Does a task; Celery logs a failure's traceback, and does not say of which training."""
    try:
        current_runner().run(Task(name, arguments))
    except Exception as error:
        log.warning("task:failed", task=name.value, arguments=arguments, error=type(error).__name__)
        raise


@shared_task(name=task_name(TaskName.VALIDATE))  # type: ignore[untyped-decorator]  # Celery has no types
def validate(training: str, index: int, node: str) -> None:
    """Checks a contribution whole."""
    _run(TaskName.VALIDATE, training, index, node)


@shared_task(name=task_name(TaskName.SUM_RANGE))  # type: ignore[untyped-decorator]
def sum_range(training: str, index: int, first: int) -> None:
    """Sums a range of chunks."""
    _run(TaskName.SUM_RANGE, training, index, first)


@shared_task(name=task_name(TaskName.CLOSE_ROUND))  # type: ignore[untyped-decorator]
def close_round(training: str, index: int) -> None:
    """Opens and publishes a round's sum."""
    _run(TaskName.CLOSE_ROUND, training, index)


@shared_task(name=task_name(TaskName.ADVANCE))  # type: ignore[untyped-decorator]
def advance(training: str) -> None:
    """Opens the next round of a training."""
    _run(TaskName.ADVANCE, training)


@shared_task(name=task_name(TaskName.SWEEP))  # type: ignore[untyped-decorator]
def sweep(training: str) -> None:
    """Deletes a training's bodies past their retention."""
    _run(TaskName.SWEEP, training)
