"""What a worker can be asked to do, and the queue that it is asked through.

A task carries ids only. Its message may come twice; a lease (`consortium.queue.leases`) keeps what takes long from
running at once with itself, and whoever runs it a second time all the same finds nothing left to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class TaskName(StrEnum):
    """The workers' tasks."""

    VALIDATE = "validate"
    SUM_RANGE = "sum_range"
    CLOSE_ROUND = "close_round"
    ADVANCE = "advance"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do; `arguments` are those of its function in `consortium.task_runner`, the training first."""

    name: TaskName
    arguments: tuple[str | int, ...] = ()


class TaskQueue(Protocol):
    """Where tasks wait for a worker."""

    def put(self, task: Task) -> None:
        """Hands a task over; it may be lost with the queue (the reconciler finds it again)."""


@dataclass(slots=True)
class Effects:
    """What follows from a transaction once it is committed: tasks for the workers, nodes to wake.

    Attributes:
        tasks: in order, without repetition.
        wake: ids of nodes that owe something new, and of trainings that have moved.
    """

    tasks: list[Task] = field(default_factory=list)
    wake: set[str] = field(default_factory=set)

    def queue(self, name: TaskName, *arguments: str | int) -> None:
        """Asks for a task."""
        task = Task(name, arguments)
        if task not in self.tasks:
            self.tasks.append(task)
