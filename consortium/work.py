"""What a node owes, from the database alone. A node that was away, or lost an answer, asks again and loses nothing."""

from __future__ import annotations

import base64
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, undefer

import crypto
from consortium.lru_cache import LRUCache
from consortium.rounds.assignments import votes_of
from consortium.rounds.service import contributor_statements
from consortium.rounds.tables import Assignment, Contribution, Round, VoteRow
from consortium.trainings.moves import plan_of, roster_of
from consortium.trainings.service import deals_of
from consortium.trainings.tables import CeremonyStep, Training, TrainingMember
from protocol.messages import (
    AppliedRound,
    ConfirmWork,
    ContributeWork,
    DealWork,
    EndedWork,
    Invitation,
    ReceiveWork,
    ShareWork,
    VoteWork,
    WorkItem,
)
from protocol.statements import SignedStatement
from protocol.states import RoundState, TrainingState

# Built once: to build a statement costs about as much as to run it.
_STANDING = (
    select(TrainingMember, Training, Round, Contribution.node)
    .join(Training, Training.id == TrainingMember.training)
    .outerjoin(Round, (Round.training == Training.id) & (Round.index == Training.round))
    .outerjoin(
        Contribution,
        (Contribution.training == Training.id)
        & (Contribution.round == Training.round)
        & (Contribution.node == TrainingMember.node),
    )
    .where(
        TrainingMember.node == bindparam("node"),
        TrainingMember.farewell_at.is_(None),
        TrainingMember.answer != "refused",
    )
    .order_by(Training.created_at, Training.id)
)
_ASKED = (
    select(Assignment)
    .where(
        Assignment.node == bindparam("node"),
        Assignment.state == "open",
        Assignment.training == bindparam("training"),
        Assignment.round == bindparam("round"),
    )
    .order_by(Assignment.number)
    .limit(1)
)


def work_of(s: Session, node: str, *, now: float) -> tuple[WorkItem, ...]:
    """Everything that a node owes now, one item a training at most.

    Args:
        s: inside a transaction; nothing is written.
        node: its id.
        now: seconds since the epoch.
    """
    rows = s.execute(_STANDING, {"node": node}).all()
    items = (_owed(s, _Standing(*row), now) for row in rows)
    return tuple(item for item in items if item is not None)


class _Standing(NamedTuple):
    """A node in a training: its row, the training, the round that is open or next, and whether it has contributed."""

    member: TrainingMember
    training: Training
    row: Round | None
    contributed: str | None


def _owed(s: Session, standing: _Standing, now: float) -> WorkItem | None:  # noqa: PLR0911  # one return a state
    member, training = standing.member, standing.training
    state = training.status
    if state.ended:
        if member.answer != "accepted":
            return None
        model = training.model_digest if state is TrainingState.COMPLETED else None
        return EndedWork(training=training.id, state=state, reason=training.reason, model=model)
    if state is TrainingState.INVITING and member.answer == "pending":
        plan = plan_of(training)
        return Invitation(training=training.id, plan=plan, expires_in_s=max(0.0, (training.deadline_at or now) - now))
    if not member.on_roster:
        return None
    match state:
        case TrainingState.KEY_CEREMONY:
            return _owed_in_ceremony(s, member, training)
        case TrainingState.RUNNING:
            return _owed_in_round(s, standing, now)
        case TrainingState.PAUSED if training.pause == "quorum":
            return _owed_in_round(s, standing, now)
        case TrainingState.EVALUATING if member.model_digest is None:
            return ConfirmWork(
                training=training.id, rounds=training.round, applied=applied_round(s, training.id, training.round - 1)
            )
        case _:
            return None


def _owed_in_ceremony(s: Session, member: TrainingMember, training: Training) -> WorkItem | None:
    step = s.get(CeremonyStep, (training.id, training.attempt, member.node))
    if step is None or step.deal is None:
        return DealWork(training=training.id, plan=plan_of(training), roster=roster_of(training))
    if step.receipt is not None:
        return None
    deals = deals_of(s, training)
    if len(deals) < len(roster_of(training).members):
        return None
    return ReceiveWork(training=training.id, attempt=training.attempt, deals=tuple(deals))


def _owed_in_round(s: Session, standing: _Standing, now: float) -> WorkItem | None:
    member, training, row = standing.member, standing.training, standing.row
    if row is None:
        return None
    if row.status is RoundState.COLLECTING:
        if standing.contributed is not None:
            return None
        return ContributeWork(
            training=training.id,
            round=row.index,
            query=row.query_digest,
            history=row.history,
            expires_in_s=max(0.0, row.deadline_at - now),
            applied=applied_round(s, training.id, training.round - 1),
        )
    if row.status is RoundState.DECRYPTING:
        return _owed_to_open(s, member, training, row, now)
    return None


def _owed_to_open(
    s: Session, member: TrainingMember, training: Training, row: Round, now: float
) -> WorkItem | None:  # fmt: skip
    """A vote or a share."""
    plan = plan_of(training)
    roster = roster_of(training)
    if member.node not in roster.committee:
        return None
    votes: tuple[SignedStatement, ...] = ()
    if plan.protection.agreement:
        rows = votes_of(s, row)
        needed = crypto.votes_needed(len(roster.committee), plan.protection.colluders)
        if len(rows) < needed:
            if s.get(VoteRow, (training.id, row.index, member.node)) is not None:
                return None
            return VoteWork(
                training=training.id,
                round=row.index,
                query=row.query_digest,
                contributors=contributor_statements(s, row),
                applied=_without_aggregate(applied_round(s, training.id, training.round - 1)),
            )
        votes = tuple(SignedStatement.model_validate_json(vote.statement) for vote in rows)
    assignment = s.scalar(_ASKED, {"training": training.id, "round": row.index, "node": member.node})
    if assignment is None:
        return None
    return ShareWork(
        training=training.id,
        round=row.index,
        query=row.query_digest,
        assignment=assignment.number,
        pieces=tuple(assignment.pieces),
        contributors=contributor_statements(s, row),
        votes=votes,
        expires_in_s=max(0.0, assignment.deadline_at - now),
        applied=_without_aggregate(applied_round(s, training.id, training.round - 1)),
    )


def _without_aggregate(applied: AppliedRound | None) -> AppliedRound | None:
    """Members have mostly contributed, and applied it before; one that was away fetches it."""
    return None if applied is None else applied.model_copy(update={"aggregate": None})


_APPLIED: LRUCache[AppliedRound] = LRUCache(8)


def applied_round(s: Session, training_id: str, index: int) -> AppliedRound | None:
    """An applied round as the banks read it; None if it is not applied. It never changes: read once a process."""
    kept = _APPLIED.peek((training_id, index))
    if kept is not None or index < 0:
        return kept
    row = s.get(Round, (training_id, index), options=[undefer(Round.aggregate_inline)])
    if row is None or row.status is not RoundState.APPLIED:
        return None
    inline = row.aggregate_inline
    found = AppliedRound(
        round=row.index,
        contributors=tuple(row.contributors or ()),
        query=row.query_digest,
        digest=row.aggregate_digest or "",
        size_bytes=row.aggregate_size or 0,
        aggregate=None if inline is None else base64.b64encode(inline).decode(),
    )
    return _APPLIED.get((training_id, index), lambda: found)
