"""The parts that requests and tasks work with, and the one way in which a transaction's effects follow its commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from consortium.blobs.port import BlobStore
from consortium.clock import Clock
from consortium.db import Database
from consortium.foreseen import Foreseen
from consortium.notify.port import Notifier
from consortium.queue.port import Effects, TaskQueue
from consortium.remembered import Remembered
from consortium.replay import LearningStates

#: A model that was put in force at another server process is made known to banks after so many seconds at the latest.
_IN_FORCE_S = 1.0


class Act(NamedTuple):
    """A transaction under way."""

    s: Session
    effects: Effects
    now: float


@dataclass(frozen=True)
class Runtime:
    """Everything that is opened once a process.

    Attributes:
        db: the database.
        blobs: the blob store.
        queue: where tasks go.
        notifier: wakes the requests that wait.
        clock: the time.
        states: this process' learning states.
        standings: node → where it stands in its trainings.
        in_force: name → digest of the model in force, None where it was withdrawn.
    """

    db: Database
    blobs: BlobStore
    queue: TaskQueue
    notifier: Notifier
    clock: Clock
    states: LearningStates
    standings: Foreseen[list[Any]]
    in_force: Remembered[dict[str, str | None]] = field(default_factory=lambda: Remembered(_IN_FORCE_S))

    @contextmanager
    def act(self, name: str) -> Iterator[Act]:
        """A transaction; what it asks for is queued, and whom it concerns is woken, once it is committed.

        Args:
            name: of the transaction, for logs.
        """
        effects = Effects()
        with self.db.transaction(name) as s:
            yield Act(s, effects, self.clock.now())
        self.release(effects)

    def release(self, effects: Effects) -> None:
        """Queues tasks and wakes waiting requests. What is lost here, the reconciler and the next poll find."""
        for task in effects.tasks:
            self.queue.put(task)
        if effects.wake:
            self.notifier.notify(effects.wake)
