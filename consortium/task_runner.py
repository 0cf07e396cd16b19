"""Runs a worker's tasks: each under a lease, its failures counted, and a training that only fails paused.

Exactly-once is not what leases are for (see `consortium.queue.leases`): whoever runs a task a second time finds nothing
left to do. They save the work itself, which may be a minute's. What is mostly done in milliseconds has no lease until
it has taken longer than that.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from consortium.blobs import BlobMissing
from consortium.db import Database
from consortium.errors import ConsortiumError
from consortium.queue import leases
from consortium.queue.port import Task, TaskName
from consortium.runtime import Runtime
from consortium.storage.service import sweep_training
from consortium.tasks import TASKS
from consortium.trainings.errors import TrainingMoved
from consortium.trainings.moves import lock_training, record_event
from consortium.trainings.service import pause_training
from protocol.states import TrainingState

#: After so many failures in a row the operator is told.
TELL_AFTER = 3
#: A backend that is away, or somebody who was first, says nothing against the task: it is tried again, and not counted.
_NOT_ITS_FAULT = (OperationalError, RedisError, TrainingMoved)
_HANDLERS: dict[TaskName, Callable[..., None]] = {**TASKS, TaskName.SWEEP: sweep_training}
#: To take a lease and to give it back would take as long as these do, and every round waits for one.
_MOSTLY_BRIEF = frozenset({TaskName.CLOSE_ROUND})

log = structlog.get_logger("consortium.tasks")


@dataclass(slots=True)
class _Run:
    """A task that is being done.

    Attributes:
        holder: names this run, and no other.
        since: when it began.
        has_lease: whether its lease was taken, be it late.
    """

    task: Task
    since: float
    has_lease: bool = False
    holder: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def key(self) -> str:
        return leases.key_of(self.task)


class TaskRunner:
    """Runs tasks under leases, which a thread of its own renews, and takes for those that turn out to need one.

    Args:
        runtime: this process' parts.
        give_up_after: failures of a task in a row after which its training is paused.
    """

    def __init__(self, runtime: Runtime, *, give_up_after: int = 10) -> None:
        self._runtime, self._give_up_after = runtime, give_up_after
        # A lease that is lost with a crash is a task done twice: nothing that the disk must be waited for.
        self._notes = Database(runtime.db.url, pool_size=4, durable=False)
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)

    def start(self) -> None:
        """Starts to renew leases."""
        self._thread.start()

    def close(self) -> None:
        """Stops; what is still held runs out."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._notes.close()

    def run(self, task: Task) -> None:
        """Does a task, unless somebody else is at it.

        Raises:
            Exception: whatever the task raised; it is counted, and the reconciler queues the task again.
        """
        run = _Run(task, since=self._runtime.clock.now())
        if task.name not in _MOSTLY_BRIEF and not self._take(run):
            return
        try:
            with self._watched(run):
                _HANDLERS[task.name](self._runtime, *task.arguments)
        except _NOT_ITS_FAULT:
            if run.has_lease:
                with self._notes.noting() as c:
                    leases.give_back(c, run.key, run.holder, now=self._runtime.clock.now())
            raise
        except Exception as error:
            if run.has_lease or self._take(run):
                self._count(run, error)
            raise
        if run.has_lease:
            self._finish(run)

    def _take(self, run: _Run) -> bool:
        with self._notes.noting() as c:
            run.has_lease = leases.take(c, run.key, run.holder, now=self._runtime.clock.now())
        return run.has_lease

    @contextmanager
    def _watched(self, run: _Run) -> Iterator[None]:
        """Meanwhile its lease is renewed, or taken once it has taken long."""
        with self._lock:
            self._runs[run.holder] = run
        try:
            yield
        finally:
            with self._lock:
                del self._runs[run.holder]

    def _finish(self, run: _Run) -> None:
        with self._notes.noting() as c:
            again = leases.finish(c, run.key, run.holder)
        if again:
            self._runtime.queue.put(run.task)

    def _count(self, run: _Run, error: Exception) -> None:
        said = _said(error)
        with self._notes.transaction("leases.failure") as s:
            failures = leases.count_failure(s, run.key, run.holder, error=said, now=self._runtime.clock.now())
        if failures == TELL_AFTER or failures >= self._give_up_after:
            self._tell(run.task, run.key, failures, said)

    def _tell(self, task: Task, key: str, failures: int, said: str) -> None:
        """Writes down in the training's record that a task keeps failing; after too often pauses the training."""
        training_id, *rest = task.arguments
        round_index = rest[0] if rest and isinstance(rest[0], int) else None
        where = task.name.value + (f" of round {round_index}" if round_index is not None else "")
        detail = f"task {where} has failed {failures} times in a row: {said}"
        with self._runtime.act("tasks.failing") as (s, effects, now):
            training = lock_training(s, str(training_id))
            record_event(s, training.id, "task_failed", now=now, round_index=round_index, detail=detail)
            if failures < self._give_up_after:
                return
            leases.forget(s, key)  # when the operator resumes, it is tried as often again
            if training.status in {TrainingState.RUNNING, TrainingState.PAUSED}:
                reason = f"paused by the service: {detail}; once that is mended, `consortium training resume`"
                pause_training(s, training.id, effects, now=now, reason=reason)
                effects.wake.add(training.id)

    def _renew(self) -> None:
        while not self._stop.wait(leases.RENEW_S):
            now = self._runtime.clock.now()
            with self._lock:
                # A task that ends within a second leaves its lease as it is, or has none.
                long = [run for run in self._runs.values() if run.since <= now - leases.RENEW_S / 2]
            held = [run.holder for run in long if run.has_lease]
            try:
                if held:
                    with self._notes.noting() as c:
                        leases.renew(c, held, now=now)
                for run in long:
                    self._take_late(run)
            except SQLAlchemyError as error:  # the lease runs out: another may do the task too
                log.warning("leases:not_renewed", error=type(error).__name__)

    def _take_late(self, run: _Run) -> None:
        """Takes the lease of a task that is not as brief as most, unless it has just ended; if another does it too,
        that is let be.
        """
        with self._lock:
            if run.holder in self._runs and not run.has_lease:
                self._take(run)


def _said(error: Exception) -> str:
    """An error for the operator. A database's own says which values it was given: it is named only."""
    name = type(error).__name__
    if isinstance(error, SQLAlchemyError):
        return name
    text = str(error).splitlines()[0][:300] if str(error) else ""
    hint = "" if isinstance(error, ConsortiumError) else " (the workers' log says where)"
    if isinstance(error, BlobMissing):
        hint = " (do all workers have the server's blob store? otherwise restore it from the store's backup)"
    return f"{name}: {text}{hint}" if text else f"{name}{hint}"
