"""A bank refuses to go on. What that means when it is about another bank's deal."""

from __future__ import annotations

from sqlalchemy.orm import Session

from consortium.queue.port import Effects
from consortium.rounds.service import member_row
from consortium.trainings.errors import NotOnRoster
from consortium.trainings.moves import Scene, count_away, lock_training, plan_of, record_event, roster_of
from consortium.trainings.service import PATIENCE
from consortium.trainings.settle import restart_ceremony, settle
from consortium.trainings.tables import Training
from protocol.messages import Complaint
from protocol.roster import Member
from protocol.states import TrainingState


def accept_complaint(
    s: Session, training_id: str, node: str, complaint: Complaint, effects: Effects, *, now: float
) -> None:  # fmt: skip
    """A bank refuses to go on: the operator sees why, and nothing waits for it any more.

    When it cannot take a dealer's deal one of the two is lying, and only they can know who: both are struck, at once.
    No bank can so strike more than one other.

    Raises:
        NotOnRoster: the complaint is about the deal of a node that is not on the roster, or about its own.
    """
    training = lock_training(s, training_id)
    member = member_row(s, training_id, node)
    if member.complaint == complaint.reason:
        return
    dealer = _dealer(training, node, complaint)
    detail = complaint.reason if dealer is None else f"about the deal of {dealer.name}: {complaint.reason}"
    member.complaint = complaint.reason
    member.misses = PATIENCE
    if member.away_since is None:
        member.away_since = now
        count_away(s, training_id, 1)
    record_event(s, training_id, "complaint", now=now, node=node, detail=detail)
    s.flush()
    effects.wake.add(training_id)
    if dealer is not None and training.status is TrainingState.KEY_CEREMONY and member.on_roster:
        why = f"{member.name} cannot take the deal of {dealer.name}: {complaint.reason}"
        restart_ceremony(Scene(s, training, plan_of(training), effects, now), {node, dealer.node}, why)
    settle(s, training, effects, now=now)


def _dealer(training: Training, node: str, complaint: Complaint) -> Member | None:
    if complaint.about is None:
        return None
    dealer = None if training.roster_digest is None else roster_of(training).member(complaint.about)
    if dealer is None or dealer.node == node:
        where = f"complaint in training {training.id}"
        wanted = "a complaint about another bank on the roster"
        raise NotOnRoster(where, expected=wanted, got=f"one about node {complaint.about}")
    return dealer
