"""What a node owes, from the database alone. A node that was away, or lost an answer, asks again and loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, String, any_, bindparam, select
from sqlalchemy.orm import Session

import crypto
from consortium.db import Database
from consortium.foreseen import Foreseen
from consortium.notify.port import Notifier
from consortium.prepared import Prepared
from consortium.rounds.assignments import votes_of
from consortium.rounds.facts import (
    applied_round,
    contributor_statements,
    find_facts,
    fixed_contributors,
    remember_pieces,
)
from consortium.rounds.tables import Assignment, Contribution, Round, VoteRow
from consortium.runtime import Runtime
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

# Columns, not rows: every bank asks several times a round, and those who were woken together are answered together.
_ALL_STANDINGS = (
    select(
        TrainingMember.node,
        Training.id,
        Training.state,
        Training.pause,
        Training.round,
        TrainingMember.on_roster,
        Round.state.label("round_state"),
        Round.deadline_at,
        Contribution.node.label("contributed"),
        Assignment.number,
        Assignment.pieces,
        Assignment.deadline_at.label("share_due_at"),
    )
    .select_from(TrainingMember)
    .join(Training, Training.id == TrainingMember.training)
    .outerjoin(Round, (Round.training == Training.id) & (Round.index == Training.round))
    .outerjoin(
        Contribution,
        (Contribution.training == Training.id)
        & (Contribution.round == Training.round)
        & (Contribution.node == TrainingMember.node),
    )
    .outerjoin(
        Assignment,
        (Assignment.training == Training.id)
        & (Assignment.round == Training.round)
        & (Assignment.node == TrainingMember.node)
        & (Assignment.state == "open"),
    )
    .where(TrainingMember.farewell_at.is_(None), TrainingMember.answer != "refused")
    .order_by(Training.created_at, Training.id, Assignment.number)
)
# One list of nodes, as each of the two databases is given one.
_STANDINGS = {
    "postgresql": Prepared(_ALL_STANDINGS.where(TrainingMember.node == any_(bindparam("nodes", type_=ARRAY(String))))),
    "sqlite": Prepared(_ALL_STANDINGS.where(TrainingMember.node.in_(bindparam("nodes", expanding=True)))),
}


class _Standing(NamedTuple):
    """A node in a training: where that is, the round that is open or next, whether the node has contributed, and the
    first share that it is asked for.
    """

    training: str
    state: str
    pause: str | None
    round: int
    on_roster: bool
    round_state: str | None
    deadline_at: float | None
    contributed: str | None
    assignment: int | None
    pieces: list[int] | None
    share_due_at: float | None

    @property
    def in_rounds(self) -> bool:
        """Whether rounds are under way, or wait for banks to return."""
        paused = self.state == TrainingState.PAUSED.value and self.pause == "quorum"
        return self.on_roster and (self.state == TrainingState.RUNNING.value or paused)


def foresee_work(db: Database, notifier: Notifier) -> Foreseen[list[_Standing]]:
    """Where nodes stand, read for all that are woken together."""
    return Foreseen(notifier, lambda nodes: _read_standings(db, nodes))


def work_of(runtime: Runtime, node: str, notices: int) -> tuple[WorkItem, ...]:
    """Everything that a node owes now, one item a training at most.

    Args:
        runtime: this process' parts; no transaction is open.
        node: its id.
        notices: its ticket, taken before.
    """
    standings = runtime.standings.get(node, notices) or []
    now = runtime.clock.now()
    items = (_owed(runtime.db, node, standing, now) for standing in standings)
    return tuple(item for item in items if item is not None)


def _read_standings(db: Database, nodes: Sequence[str]) -> dict[str, list[_Standing]]:
    found: dict[str, dict[str, _Standing]] = {node: {} for node in nodes}
    with db.looking() as c:
        for node, *row in _STANDINGS[c.dialect.name].rows(c, {"nodes": nodes}):
            found[node].setdefault(row[0], _Standing(*row))  # the first of a node's open assignments
    return {node: list(standings.values()) for node, standings in found.items() if standings}


def _owed(db: Database, node: str, standing: _Standing, now: float) -> WorkItem | None:
    if standing.in_rounds:
        return _owed_in_round(db, node, standing, now)
    with db.reading("work.owed") as s:
        item = _owed_otherwise(s, node, standing.training, now)
    if isinstance(item, ConfirmWork):
        return item.model_copy(update={"applied": applied_round(db, item.training, item.rounds - 1)})
    return item


def _owed_otherwise(s: Session, node: str, training_id: str, now: float) -> WorkItem | None:
    """What is owed before the rounds and after them."""
    member, training = s.get_one(TrainingMember, (training_id, node)), s.get_one(Training, training_id)
    state = training.status
    if state.ended:  # for who has not answered as well: it may have made keys for an acceptance that came too late
        model = training.model_digest if state is TrainingState.COMPLETED else None
        return EndedWork(training=training.id, state=state, reason=training.reason, model=model)
    if state is TrainingState.INVITING and member.answer == "pending":
        plan = plan_of(training)
        return Invitation(training=training.id, plan=plan, expires_in_s=max(0.0, (training.deadline_at or now) - now))
    if not member.on_roster:
        return None
    if state is TrainingState.KEY_CEREMONY:
        return _owed_in_ceremony(s, member, training)
    if state is TrainingState.EVALUATING and member.model_digest is None:
        return ConfirmWork(training=training.id, rounds=training.round, applied=None)
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


def _owed_in_round(db: Database, node: str, standing: _Standing, now: float) -> WorkItem | None:
    if standing.round_state == RoundState.COLLECTING.value:
        if standing.contributed is not None:
            return None
        facts = find_facts(db, standing.training, standing.round)
        return ContributeWork(
            training=facts.training,
            round=facts.index,
            query=facts.query,
            history=facts.history,
            expires_in_s=max(0.0, (standing.deadline_at or now) - now),
            applied=applied_round(db, facts.training, facts.index - 1),
        )
    if standing.round_state == RoundState.DECRYPTING.value:
        return _owed_to_open(db, node, standing, now)
    return None


def _owed_to_open(db: Database, node: str, standing: _Standing, now: float) -> WorkItem | None:
    """A vote or a share."""
    facts = find_facts(db, standing.training, standing.round)
    committee, protection = facts.roster.committee, facts.plan.protection
    if node not in committee:
        return None
    votes: tuple[SignedStatement, ...] = ()
    if protection.agreement:
        fixed = fixed_contributors(db, facts)
        with db.reading("work.votes") as s:
            votes = tuple(votes_of(s, facts.training, facts.index, fixed))
            has_voted = s.get(VoteRow, (facts.training, facts.index, node)) is not None
        if len(votes) < crypto.votes_needed(len(committee), protection.colluders):
            if has_voted:
                return None
            return VoteWork(
                training=facts.training,
                round=facts.index,
                query=facts.query,
                contributors=contributor_statements(db, facts),
                applied=_without_aggregate(applied_round(db, facts.training, facts.index - 1)),
            )
    number, pieces = standing.assignment, standing.pieces
    if number is None or pieces is None:
        return None
    return ShareWork(
        training=facts.training,
        round=facts.index,
        query=facts.query,
        assignment=number,
        pieces=remember_pieces(facts, node, number, pieces),
        contributors=contributor_statements(db, facts),
        votes=votes,
        expires_in_s=max(0.0, (standing.share_due_at or now) - now),
        applied=_without_aggregate(applied_round(db, facts.training, facts.index - 1)),
    )


def _without_aggregate(applied: AppliedRound | None) -> AppliedRound | None:
    """Members have mostly contributed, and applied it before; one that was away fetches it."""
    return None if applied is None else applied.model_copy(update={"aggregate": None})
