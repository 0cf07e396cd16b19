"""The tasks by which Celery's workers run the service's: ids in, nothing out."""

from __future__ import annotations

from celery import shared_task

from consortium.queue.by_celery import task_name
from consortium.queue.port import Task, TaskName
from workers.process import current_runner


@shared_task(name=task_name(TaskName.VALIDATE))  # type: ignore[untyped-decorator]  # Celery has no types
def validate(training: str, index: int, node: str) -> None:
    """Checks a contribution whole."""
    current_runner().run(Task(TaskName.VALIDATE, (training, index, node)))


@shared_task(name=task_name(TaskName.SUM_RANGE))  # type: ignore[untyped-decorator]
def sum_range(training: str, index: int, first: int) -> None:
    """Sums a range of chunks."""
    current_runner().run(Task(TaskName.SUM_RANGE, (training, index, first)))


@shared_task(name=task_name(TaskName.CLOSE_ROUND))  # type: ignore[untyped-decorator]
def close_round(training: str, index: int) -> None:
    """Opens and publishes a round's sum."""
    current_runner().run(Task(TaskName.CLOSE_ROUND, (training, index)))


@shared_task(name=task_name(TaskName.ADVANCE))  # type: ignore[untyped-decorator]
def advance(training: str) -> None:
    """Opens the next round of a training."""
    current_runner().run(Task(TaskName.ADVANCE, (training,)))


@shared_task(name=task_name(TaskName.SWEEP))  # type: ignore[untyped-decorator]
def sweep(training: str) -> None:
    """Deletes a training's bodies past their retention."""
    current_runner().run(Task(TaskName.SWEEP, (training,)))
