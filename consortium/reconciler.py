"""Finds what is due: deadlines that have passed, work that a lost queue has forgotten, and bodies past their retention.
The database is the truth.

It runs in every worker (and in the server, when that works itself); several at once do no harm, since every step is a
compare-and-set, and what one has queued the others leave alone for a while. After a start it lets no deadline pass for
`GRACE_S`: when the service itself was away, the banks were not late.
"""

from __future__ import annotations

import threading

import structlog
from sqlalchemy import Float, bindparam, exists, func, or_, select, union, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from consortium.blobs import BlobsUnavailable
from consortium.queue import leases
from consortium.queue.port import Effects, Task, TaskName
from consortium.rounds.hot_path import IS_ASKED, ROSTER_SIZE
from consortium.rounds.tables import Assignment, Contribution, Round, SumRange
from consortium.runtime import Runtime
from consortium.storage.service import due_for_sweep
from consortium.trainings.moves import NO_ROOM, last_event, lock_training, record_event
from consortium.trainings.settle import settle_locked
from consortium.trainings.tables import Training
from protocol.states import RoundState, TrainingState

#: How long after a start, or after the database was away, no deadline passes: the banks need it to find the service.
GRACE_S = 10.0
#: By how much deadlines are put off while the blob store fails: more than a node's longest pause between two attempts.
PUT_OFF_S = 40.0
#: A task that is due for so long was lost, or its worker is busy.
FORGOTTEN_S = 3.0
#: Space that the blob store must have for a deadline to pass: a bank whose bytes it could not take is not to blame.
ROOM_BYTES = 64 << 20
#: By how much this machine's clock may differ from the database's. Beyond that others let deadlines pass, and sweep.
CLOCK_TOLERANCE_S = 30.0
#: How often each of them looks for what is to be swept away.
SWEEP_EVERY_S = 60.0
#: An upload that was begun so long ago will not be committed any more.
UNFINISHED_S = 86400.0

log = structlog.get_logger("consortium.reconciler")

_ENDED = [state.value for state in TrainingState if state.ended]


# Built once: to build a statement costs about as much as to run it.
# While the operator (or too many failures) has paused a training nothing is done; its `resume` settles it anew.
_LIVE = (
    select(Training.id)
    .where(Training.state.not_in(_ENDED), func.coalesce(Training.pause, "") != "operator")
    .scalar_subquery()
)
_BEFORE = bindparam("before", type_=Float)
_NOW = bindparam("now", type_=Float)
_IS_NEXT = (Round.training == Training.id) & (Round.index == Training.round)
_UNCHECKED = select(Contribution.training, Contribution.round, Contribution.node).where(
    Contribution.state == "received", Contribution.received_at <= _BEFORE, Contribution.training.in_(_LIVE)
)
_UNSUMMED = (
    select(SumRange.training, SumRange.round, SumRange.first_chunk)
    .join(Round, (Round.training == SumRange.training) & (Round.index == SumRange.round))
    .where(
        SumRange.blob.is_(None),
        Round.state == RoundState.DECRYPTING.value,
        Round.fixed_at <= _BEFORE,
        Round.training.in_(_LIVE),
    )
)
_READY = select(Round.training, Round.index).where(
    Round.state == RoundState.DECRYPTING.value, Round.shares_at <= _BEFORE, Round.training.in_(_LIVE)
)
_UNOPENED = (
    select(Training.id)
    .outerjoin(Round, _IS_NEXT)
    .where(Training.state == TrainingState.RUNNING.value, Round.index.is_(None))
)


def due_tasks(s: Session, *, now: float, forgotten_s: float = FORGOTTEN_S) -> list[Task]:
    """Tasks that the database says are due and that nobody has done for a while."""
    before = {"before": now - forgotten_s}
    tasks = [Task(TaskName.VALIDATE, tuple(key)) for key in s.execute(_UNCHECKED, before)]
    tasks += [Task(TaskName.SUM_RANGE, tuple(key)) for key in s.execute(_UNSUMMED, before)]
    tasks += [Task(TaskName.CLOSE_ROUND, tuple(key)) for key in s.execute(_READY, before)]
    tasks += [Task(TaskName.ADVANCE, (training,)) for training in s.scalars(_UNOPENED)]
    return tasks


_RUNNING = Training.state == TrainingState.RUNNING.value
_LATE = union(
    select(Training.id).where(
        Training.state.in_(
            [TrainingState.INVITING.value, TrainingState.KEY_CEREMONY.value, TrainingState.EVALUATING.value]
        ),
        Training.deadline_at <= _NOW,
    ),
    select(Training.id)
    .join(Round, _IS_NEXT)
    .where(
        _RUNNING,
        Round.state.in_([RoundState.COLLECTING.value, RoundState.DECRYPTING.value]),
        Round.deadline_at <= _NOW,
    ),
    select(Training.id)
    .join(Assignment, Assignment.training == Training.id)
    .where(_RUNNING, Assignment.state == "open", Assignment.deadline_at <= _NOW),
)


def overdue_trainings(s: Session, *, now: float) -> list[str]:
    """Trainings with a deadline that has passed."""
    return sorted(s.scalars(_LATE, {"now": now}))


def put_off(s: Session, training: Training, *, until: float, now: float) -> None:
    """Moves deadlines of a training, locked, and of its round to a later time where they have passed."""
    if training.deadline_at is not None and training.deadline_at <= now:
        training.deadline_at = until
    of_round = (Round.training == training.id, Round.index == training.round)
    s.execute(update(Round).where(*of_round, Round.deadline_at <= now).values(deadline_at=until))
    asked = (Assignment.training == training.id, Assignment.round == training.round, Assignment.state == "open")
    s.execute(update(Assignment).where(*asked, Assignment.deadline_at <= now).values(deadline_at=until))


_SENT = (
    select(func.count())
    .select_from(Contribution)
    .where(
        Contribution.training == Round.training,
        Contribution.round == Round.index,
        Contribution.state != "received",
        Contribution.received_at <= _BEFORE,
    )
    .correlate(Round)
    .scalar_subquery()
)
_COLLECTED = (Round.state == RoundState.COLLECTING.value) & (_SENT + Training.away >= ROSTER_SIZE)
_ANSWERED = (
    (Round.state == RoundState.DECRYPTING.value)
    & Round.shares_at.is_(None)
    & (Round.fixed_at <= _BEFORE)
    & exists().where(Assignment.training == Round.training, Assignment.round == Round.index)
    & ~IS_ASKED
)
_STALLED = select(Training.id).join(Round, _IS_NEXT).where(_RUNNING, or_(_COLLECTED, _ANSWERED)).order_by(Training.id)


def stalled_trainings(s: Session, *, now: float, forgotten_s: float = FORGOTTEN_S) -> list[str]:
    """Trainings whose last contribution or share came a while ago, and was not acted upon: the process that took it has
    died.
    """
    return list(s.scalars(_STALLED, {"before": now - forgotten_s}))


def reconcile(runtime: Runtime, *, deadlines: bool = True, forgotten_s: float = FORGOTTEN_S) -> None:
    """Queues what was forgotten and nobody is at, takes steps that were, and lets passed deadlines take effect.

    Args:
        runtime: this process' parts.
        deadlines: whether deadlines pass.
        forgotten_s: how long a task must have been due.
    """
    now = runtime.clock.now()
    with runtime.db.reading("reconciler.look") as s:
        tasks = due_tasks(s, now=now, forgotten_s=forgotten_s)
        overdue = overdue_trainings(s, now=now) if deadlines else []
        stalled = stalled_trainings(s, now=now, forgotten_s=forgotten_s)
    _queue_unless_taken(runtime, tasks)
    if overdue and not _has_room(runtime, overdue):
        overdue = []
    for training_id in {*overdue, *stalled}:
        with runtime.act("reconciler.settle") as (session, effects, then):
            settle_locked(session, training_id, effects, now=then)


def _has_room(runtime: Runtime, overdue: list[str]) -> bool:
    """Whether what the banks owe could have been stored. Otherwise the deadlines are put off, since whatever is sent
    next would let them take effect, and the trainings' records say so, once in a row.
    """
    try:
        runtime.blobs.require_room(ROOM_BYTES)
    except BlobsUnavailable as error:
        log.warning("reconciler:no_deadline_passes", why=str(error), room_bytes=ROOM_BYTES)
        for training_id in overdue:
            with runtime.act("reconciler.no_room") as (s, _, now):
                put_off(s, lock_training(s, training_id), until=now + PUT_OFF_S, now=now)
                if last_event(s, training_id) != NO_ROOM:
                    record_event(s, training_id, NO_ROOM, now=now, detail=f"{error}; no deadline passes meanwhile")
        return False
    return True


def _queue_unless_taken(runtime: Runtime, tasks: list[Task]) -> None:
    if not tasks:
        return
    with runtime.db.transaction("reconciler.claim") as s:
        claimed = leases.claim_to_queue(s, tasks, now=runtime.clock.now())
    runtime.release(Effects(tasks=claimed))


def tidy(runtime: Runtime) -> None:
    """Queues the sweeping of what is past its retention, and drops what was never finished."""
    now = runtime.clock.now()
    with runtime.db.reading("reconciler.retention") as s:
        due = due_for_sweep(s, now=now)
    _queue_unless_taken(runtime, [Task(TaskName.SWEEP, (training,)) for training in due])
    with runtime.db.transaction("reconciler.stale_leases") as s:
        leases.forget_stale(s, now=now)
    dropped = runtime.blobs.drop_unfinished(before=now - UNFINISHED_S)
    if dropped:
        log.info("reconciler:unfinished_uploads_dropped", count=dropped)


class Reconciler:
    """Reconciles every few seconds, in a thread of its own.

    Args:
        runtime: this process' parts.
        every_s: seconds between two looks.
        grace_s: seconds after a start in which no deadline passes.
    """

    def __init__(self, runtime: Runtime, *, every_s: float = 2.0, grace_s: float = GRACE_S) -> None:
        self._runtime = runtime
        self._every_s = every_s
        self._grace_s = grace_s
        self._clock_told_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _is_right(self, now: float) -> bool:
        """Whether this machine's clock is the database's; what it would do too early could not be taken back."""
        ahead_s = self._runtime.db.seconds_ahead(now)
        if abs(ahead_s) <= CLOCK_TOLERANCE_S:
            return True
        if abs(now - self._clock_told_at) >= SWEEP_EVERY_S:
            self._clock_told_at = now
            log.error(
                "reconciler:clock_differs", seconds_ahead_of_the_database=round(ahead_s, 1),
                advice="set this machine's clock (NTP); until then its reconciler lets no deadline pass",
            )  # fmt: skip
        return False

    def _run(self) -> None:
        strict_from = self._runtime.clock.now() + self._grace_s
        tidy_from = strict_from
        while not self._stop.wait(self._every_s):
            now = self._runtime.clock.now()
            try:
                is_right = self._is_right(now)
                reconcile(self._runtime, deadlines=is_right and now >= strict_from)
                if is_right and now >= tidy_from:
                    tidy_from = now + SWEEP_EVERY_S
                    tidy(self._runtime)
            except SQLAlchemyError as error:
                strict_from = self._runtime.clock.now() + self._grace_s
                log.warning("reconciler:database_away", error=type(error).__name__)
            except Exception:
                log.exception("reconciler:failed")
