"""Steps of a training's state machine in the database: lock its row, compare and set its state, write an event."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from sqlalchemy import CursorResult, bindparam, select, update
from sqlalchemy.orm import Session

from consortium.db import Database
from consortium.lru_cache import LRUCache
from consortium.queue.port import Effects
from consortium.trainings.errors import TrainingMissing, TrainingMoved
from consortium.trainings.tables import Training, TrainingEventRow, TrainingMember
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.states import TrainingEvent, TrainingState, next_training_state


@dataclass
class Scene:
    """What every step of `settle` works on: a session inside a transaction, a locked training and its plan, the effects
    that must follow, and the time in seconds since the epoch.
    """

    s: Session
    training: Training
    plan: Plan
    effects: Effects
    now: float

    @cached_property
    def members(self) -> list[TrainingMember]:
        """The banks on the roster in ascending order of node id, as the rounds need them: read once."""
        return members_of(self.s, self.training.id, on_roster=True)

    def move(self, event: TrainingEvent, *, reason: str = "", pause: str | None = None) -> None:
        """Takes a step of the training's state machine; see `move_training`."""
        move_training(self.s, self.training, event, self.effects, now=self.now, reason=reason, pause=pause)

    def record(self, kind: str, *, node: str | None = None, round_index: int | None = None, detail: str = "") -> None:
        """Writes an event down."""
        record_event(self.s, self.training.id, kind, now=self.now, node=node, round_index=round_index, detail=detail)

    def away(self, member: TrainingMember, detail: str, *, round_index: int | None = None) -> None:
        """A bank has missed a deadline."""
        mark_away(self.s, member, now=self.now, detail=detail, round_index=round_index)


# Plans and rosters never change under their digest, and are frozen: they are read and parsed once a process.
_PLANS: LRUCache[Plan] = LRUCache(64)
_ROSTERS: LRUCache[Roster] = LRUCache(64)


def plan_of(training: Training) -> Plan:
    """The plan of a training; its text is read from the database only if this process has not seen it."""
    return _PLANS.get(training.plan_digest, lambda: Plan.model_validate_json(training.plan_json))


def roster_of(training: Training) -> Roster:
    """The roster of a training that has one.

    Raises:
        TrainingMoved: it has none yet.
    """
    if training.roster_digest is None:
        raise TrainingMoved(training.id, expected="a training with a roster", got=training.state)
    return _ROSTERS.get(training.roster_digest, lambda: Roster.model_validate_json(training.roster_json or ""))


def terms_of(db: Database, training: str, plan_digest: str, roster_digest: str) -> tuple[Plan, Roster]:
    """Plan and roster of a training whose digests are known; read only if this process has not seen them."""
    plan, roster = _PLANS.peek(plan_digest), _ROSTERS.peek(roster_digest)
    if plan is not None and roster is not None:
        return plan, roster
    with db.reading("trainings.terms") as s:
        row = s.get_one(Training, training)
        return plan_of(row), roster_of(row)


# Built once: to build a statement costs about as much as to run it.
_LOCK = (
    select(Training)
    .where(Training.id == bindparam("training"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_MEMBERS = select(TrainingMember).where(TrainingMember.training == bindparam("training")).order_by(TrainingMember.node)
_ON_ROSTER = _MEMBERS.where(TrainingMember.on_roster)


def lock_training(s: Session, training: str) -> Training:
    """The training, locked against every other step until the transaction ends.

    Raises:
        TrainingMissing: there is none with this id.
    """
    row = s.scalar(_LOCK, {"training": training})
    if row is None:
        raise TrainingMissing(training)
    return row


def members_of(s: Session, training: str, *, on_roster: bool = False) -> list[TrainingMember]:
    """The invited banks in ascending order of node id; only those on the roster if asked."""
    return list(s.scalars(_ON_ROSTER if on_roster else _MEMBERS, {"training": training}))


#: The event of a blob store that is full or away.
NO_ROOM = "no_room"


def last_event(s: Session, training: str) -> str | None:
    """The kind of the newest event of a training."""
    newest = select(TrainingEventRow.kind).where(TrainingEventRow.training == training)
    return s.scalar(newest.order_by(TrainingEventRow.id.desc()).limit(1))


def record_event(
    s: Session, training: str, kind: str, *, now: float, node: str | None = None, round_index: int | None = None,
    detail: str = "",
) -> None:  # fmt: skip
    """Writes down what happened, in the transaction in which it happens."""
    s.add(TrainingEventRow(training=training, at=now, kind=kind, node=node, round=round_index, detail=detail))


def move_training(
    s: Session, training: Training, event: TrainingEvent, effects: Effects, *, now: float, reason: str = "",
    pause: str | None = None,
) -> None:  # fmt: skip
    """Takes one step of the table in `protocol.states`; the caller holds the row's lock.

    The event keeps the reason; the training keeps it for as long as it explains why there are no rounds.

    Raises:
        TransitionRefused: the table has no such step.
        TrainingMoved: somebody else took a step first.
    """
    old = training.status
    new = next_training_state(old, event)
    shown = "" if new is TrainingState.RUNNING else reason
    values: dict[str, Any] = {"state": new.value, "reason": shown, "pause": pause}
    if new.ended:
        values |= {"ended_at": now, "deadline_at": None}
    s.flush()
    done = cast(
        "CursorResult[Any]",
        s.execute(
            update(Training)
            .where(Training.id == training.id, Training.state == old.value)
            .values(**values)
            .execution_options(synchronize_session=False)
        ),
    )
    if done.rowcount != 1:
        raise TrainingMoved(training.id, expected=f"state {old.value!r}", got="another")
    s.refresh(training)
    record_event(s, training.id, event.value, now=now, detail=reason)
    effects.wake.add(training.id)
    if new.ended or new in {TrainingState.EVALUATING, TrainingState.KEY_CEREMONY}:
        effects.wake.update(member.node for member in members_of(s, training.id))


def count_away(s: Session, training: str, change: int) -> None:
    """Keeps the number of members that are away; the caller holds the training's lock."""
    s.get_one(Training, training).away += change


def mark_away(s: Session, member: TrainingMember, *, now: float, detail: str, round_index: int | None = None) -> None:
    """The bank has missed a deadline: nothing waits for it until it is heard of again."""
    member.misses += 1
    if member.away_since is None:
        member.away_since = now
        count_away(s, member.training, 1)
        record_event(s, member.training, "away", now=now, node=member.node, round_index=round_index, detail=detail)


def mark_answered(s: Session, member: TrainingMember, *, now: float) -> None:
    """The bank has done what it was asked: it is counted on again, whatever it has complained of."""
    member.misses = 0
    member.complaint = None
    if member.away_since is not None:
        member.away_since = None
        count_away(s, member.training, -1)
        record_event(s, member.training, "back", now=now, node=member.node)
