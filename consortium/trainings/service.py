"""What the operator and the banks do to a training outside its rounds."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session, undefer

from consortium.queue.port import Effects, TaskName
from consortium.rounds.service import Body, verified
from consortium.rounds.tables import Assignment, Round
from consortium.trainings.errors import (
    BodyMismatch,
    MutationForbidden,
    NotOnRoster,
    TooFewBanks,
    WrongRound,
    WrongState,
)
from consortium.trainings.moves import (
    count_away,
    lock_training,
    mark_answered,
    members_of,
    move_training,
    plan_of,
    record_event,
    roster_of,
)
from consortium.trainings.settle import settle
from consortium.trainings.tables import CeremonyStep, SealedMessageRow, Training, TrainingMember
from protocol.messages import Refusal
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.signing import require_sealing_key
from protocol.statements import Acceptance, Deal, ModelStatement, Receipt, SignedStatement, deals_digest
from protocol.states import RoundState, TrainingEvent, TrainingState

#: After so many missed deadlines in a row it takes a deed, not just a poll, for a bank to be counted on again.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Invitee:
    """A node that is asked to take part."""

    node: str
    name: str
    signing_key: str


def start_training(
    s: Session, plan: Plan, nodes: Sequence[Invitee], effects: Effects, *, by: str, now: float
) -> Training:
    """Starts a training of a plan: every node of its cohort owes an answer.

    Args:
        s: inside a transaction.
        plan: the plan, checked.
        nodes: every active node; the plan's cohort picks among them.
        effects: what must follow.
        by: who starts it, for the record.
        now: seconds since the epoch.

    Raises:
        TooFewBanks: the cohort has fewer nodes than the plan's quorum.
    """
    wanted = None if plan.cohort.nodes is None else set(plan.cohort.nodes)
    cohort = [node for node in nodes if wanted is None or node.node in wanted]
    if len(cohort) < plan.cohort.min_banks:
        raise TooFewBanks(
            f"plan {plan.name!r}", expected=f"at least {plan.cohort.min_banks} enrolled banks", got=str(len(cohort))
        )
    training = Training(
        id=str(uuid.uuid4()), plan_name=plan.name, plan_digest=plan.digest(), plan_json=plan.model_dump_json(),
        state=TrainingState.DRAFT.value, created_at=now, created_by=by, deadline_at=now + plan.deadlines.invitation_s,
        progress={}, attempt=0, round=0, away=0, reason="",
    )  # fmt: skip
    s.add(training)
    s.flush()
    for node in cohort:
        s.add(
            TrainingMember(
                training=training.id, node=node.node, name=node.name, signing_key=node.signing_key, answer="pending",
                on_roster=False, misses=0,
            )
        )  # fmt: skip
        effects.wake.add(node.node)
    move_training(s, training, TrainingEvent.START, effects, now=now)
    return training


def _own_row(s: Session, training: str, node: str) -> TrainingMember:
    member = s.get(TrainingMember, (training, node))
    if member is None:
        raise NotOnRoster(f"training {training}", expected="an invited bank", got=f"node {node}")
    return member


def accept_invitation(
    s: Session, training_id: str, node: str, signed: SignedStatement, effects: Effects, *, now: float
) -> None:
    """Takes a bank's signed acceptance of exactly this plan."""
    training = lock_training(s, training_id)
    where = f"acceptance of training {training_id}"
    acceptance = verified(s, training_id, node, signed, Acceptance)
    if acceptance.plan != training.plan_digest:
        raise BodyMismatch(where, expected="the digest of the training's plan", got="another")
    require_sealing_key(acceptance.sealing_key)
    _answer(s, training, node, effects, answer="accepted", text=signed.model_dump_json(), now=now)


def refuse_invitation(
    s: Session, training_id: str, node: str, refusal: Refusal, effects: Effects, *, now: float
) -> None:
    """Takes a bank's refusal, with its reason."""
    _answer(s, lock_training(s, training_id), node, effects, answer="refused", text=refusal.reason, now=now)


def _answer(
    s: Session, training: Training, node: str, effects: Effects, *, answer: str, text: str, now: float
) -> None:  # fmt: skip
    member = _own_row(s, training.id, node)
    where = f"answer to the invitation to training {training.id}"
    if member.answer != "pending":
        if (member.answer, member.acceptance or member.refusal) != (answer, text):
            raise MutationForbidden(where, expected="the answer given before", got="another")
        return
    if training.status is not TrainingState.INVITING:
        raise WrongState(where, expected="a training that still invites", got=training.state)
    member.answer = answer
    if answer == "accepted":
        member.acceptance = text
    else:
        member.refusal = text
    record_event(s, training.id, answer, now=now, node=node, detail="" if answer == "accepted" else text)
    s.flush()
    settle(s, training, effects, now=now)


def _require_attempt(training: Training, node: str, attempt: int) -> Roster:
    where = f"key ceremony of training {training.id}"
    if training.roster_json is None:
        raise WrongState(where, expected="a training with a roster", got=training.state)
    roster = roster_of(training)
    if roster.member(node) is None:
        raise NotOnRoster(where, expected="a bank on the roster", got=f"node {node}")
    if attempt != training.attempt:
        raise WrongRound(where, expected=f"attempt {training.attempt}", got=f"attempt {attempt}")
    return roster


def accept_sealed(s: Session, training_id: str, node: str, attempt: int, *, recipient: str, body: Body) -> None:
    """Takes what a dealer sealed to a recipient."""
    training = lock_training(s, training_id)
    roster = _require_attempt(training, node, attempt)
    where = f"sealed message in training {training_id}"
    if roster.member(recipient) is None:
        raise NotOnRoster(where, expected="a recipient on the roster", got=f"node {recipient}")
    before = s.get(SealedMessageRow, (training_id, attempt, node, recipient))
    if before is not None:
        if before.digest != body.digest:
            raise MutationForbidden(where, expected="the message sent before", got="other bytes")
        return
    if training.status is not TrainingState.KEY_CEREMONY:
        raise WrongState(where, expected="a training in its key ceremony", got=training.state)
    s.add(
        SealedMessageRow(
            training=training_id, attempt=attempt, dealer=node, recipient=recipient, digest=body.digest,
            size_bytes=body.size_bytes, inline=body.inline, blob=body.blob,
        )
    )  # fmt: skip


def find_sealed(s: Session, training_id: str, attempt: int, dealer: str, recipient: str) -> SealedMessageRow:
    """What a dealer sealed to this recipient.

    Raises:
        WrongRound: nothing.
    """
    row = s.get(SealedMessageRow, (training_id, attempt, dealer, recipient), options=[undefer(SealedMessageRow.inline)])
    if row is None:
        raise WrongRound(f"key ceremony of training {training_id}", expected="a sealed message", got="none")
    return row


def accept_deal(
    s: Session, training_id: str, node: str, attempt: int, *, signed: SignedStatement, effects: Effects, now: float
) -> None:
    """Takes a dealer's statement, once everything that it names is here."""
    training = lock_training(s, training_id)
    where = f"deal in training {training_id}"
    deal = verified(s, training_id, node, signed, Deal)
    _require_attempt(training, node, attempt)
    step = _step(s, training_id, attempt, node)
    text = signed.model_dump_json()
    if step.deal is not None:
        if step.deal != text:
            raise MutationForbidden(where, expected="the deal sent before", got="another")
        return
    if training.status is not TrainingState.KEY_CEREMONY:
        raise WrongState(where, expected="a training in its key ceremony", got=training.state)
    if (deal.attempt, deal.roster) != (attempt, training.roster_digest):
        raise BodyMismatch(
            where, expected=f"attempt {attempt} and its roster", got=f"attempt {deal.attempt} or another"
        )
    here = dict(
        s.execute(
            select(SealedMessageRow.recipient, SealedMessageRow.digest).where(
                SealedMessageRow.training == training_id,
                SealedMessageRow.attempt == attempt,
                SealedMessageRow.dealer == node,
            )
        ).all()
    )
    if here != deal.sealed:
        raise BodyMismatch(
            where, expected="the sealed messages that it names", got=f"{len(here)} of {len(deal.sealed)}"
        )
    step.deal = text
    s.flush()
    settle(s, training, effects, now=now)


def _step(s: Session, training: str, attempt: int, node: str) -> CeremonyStep:
    step = s.get(CeremonyStep, (training, attempt, node))
    if step is None:
        step = CeremonyStep(training=training, attempt=attempt, node=node)
        s.add(step)
    return step


def deals_of(s: Session, training: Training) -> list[SignedStatement]:
    """The deals of the present attempt, in roster order; fewer than members while some are missing."""
    steps = {
        step.node: step.deal
        for step in s.scalars(
            select(CeremonyStep).where(CeremonyStep.training == training.id, CeremonyStep.attempt == training.attempt)
        )
    }
    texts = [steps.get(member.node) for member in roster_of(training).members]
    return [SignedStatement.model_validate_json(text) for text in texts if text is not None]


def accept_receipt(
    s: Session, training_id: str, node: str, attempt: int, *, signed: SignedStatement, effects: Effects, now: float
) -> None:
    """Takes a member's receipt over all deals; with the last one the rounds begin."""
    training = lock_training(s, training_id)
    where = f"receipt in training {training_id}"
    receipt = verified(s, training_id, node, signed, Receipt)
    roster = _require_attempt(training, node, attempt)
    step = _step(s, training_id, attempt, node)
    text = signed.model_dump_json()
    if step.receipt is not None:
        if step.receipt != text:
            raise MutationForbidden(where, expected="the receipt sent before", got="another")
        return
    deals = deals_of(s, training)
    if training.status is not TrainingState.KEY_CEREMONY or len(deals) < len(roster.members):
        raise WrongState(where, expected="a key ceremony in which all have dealt", got=training.state)
    if (receipt.attempt, receipt.roster, receipt.deals) != (attempt, training.roster_digest, deals_digest(deals)):
        raise BodyMismatch(where, expected="this attempt, its roster and its deals", got="others")
    step.receipt = text
    mark_answered(s, _own_row(s, training_id, node), now=now)
    s.flush()
    settle(s, training, effects, now=now)


def accept_model(
    s: Session, training_id: str, node: str, signed: SignedStatement, effects: Effects, *, now: float
) -> None:
    """Takes the digest of the model that a bank derived itself."""
    training = lock_training(s, training_id)
    where = f"model of training {training_id}"
    statement = verified(s, training_id, node, signed, ModelStatement)
    member = _own_row(s, training_id, node)
    text = signed.model_dump_json()
    if member.model_statement is not None:
        if member.model_statement != text:
            raise MutationForbidden(where, expected="the statement sent before", got="another")
        return
    if training.status is not TrainingState.EVALUATING or not member.on_roster:
        raise WrongState(where, expected="a training whose rounds are done", got=training.state)
    if statement.history != training.history:
        raise BodyMismatch(where, expected="the training's history", got="another")
    member.model_statement, member.model_digest = text, statement.model
    mark_answered(s, member, now=now)
    s.flush()
    settle(s, training, effects, now=now)


def accept_farewell(s: Session, training_id: str, node: str, effects: Effects, *, now: float) -> None:
    """A bank has destroyed the training's keys."""
    training = lock_training(s, training_id)
    member = _own_row(s, training_id, node)
    if not training.status.ended:
        raise WrongState(
            f"farewell to training {training_id}", expected="a training that has ended", got=training.state
        )
    if member.farewell_at is None:
        member.farewell_at = now
        effects.wake.add(training_id)


def hear_of(s: Session, training_id: str, node: str, effects: Effects, *, now: float) -> None:
    """A bank that was away is heard of again: it is counted on, unless it has polled and not answered too often."""
    training = lock_training(s, training_id)
    member = _own_row(s, training_id, node)
    if member.away_since is None or member.misses >= PATIENCE:
        return
    member.away_since = None
    count_away(s, training_id, -1)
    record_event(s, training_id, "back", now=now, node=node)
    s.flush()
    settle(s, training, effects, now=now)


def pause_training(s: Session, training_id: str, effects: Effects, *, now: float, reason: str) -> Training:
    """The operator pauses: nothing is asked and no deadline passes until he resumes."""
    training = lock_training(s, training_id)
    if training.status is TrainingState.PAUSED:
        training.pause, training.reason = "operator", reason
        return training
    move_training(s, training, TrainingEvent.PAUSE, effects, now=now, reason=reason, pause="operator")
    # No answer is the last one now, nor was one: what it would bring about waits until he resumes.
    s.execute(update(Round).where(Round.training == training_id, Round.index == training.round).values(awaited=-1))
    return training


def resume_training(s: Session, training_id: str, effects: Effects, *, now: float) -> Training:
    """The operator resumes: deadlines start anew."""
    training = lock_training(s, training_id)
    move_training(s, training, TrainingEvent.RESUME, effects, now=now, reason="")
    renew_deadlines(s, training, now=now)
    effects.wake.update(member.node for member in members_of(s, training_id))
    effects.queue(TaskName.ADVANCE, training_id)
    return training


def renew_deadlines(s: Session, training: Training, *, now: float) -> None:
    """Everyone has as long again as the plan gives: after a pause, or when the service itself was away."""
    plan = plan_of(training)
    phase = {
        TrainingState.INVITING: plan.deadlines.invitation_s,
        TrainingState.KEY_CEREMONY: plan.deadlines.ceremony_s,
        TrainingState.EVALUATING: plan.deadlines.contribution_s,
    }.get(training.status)
    if phase is not None:
        training.deadline_at = now + phase
    row = s.get(Round, (training.id, training.round))
    if row is None:
        return
    collecting = row.status is RoundState.COLLECTING
    row.deadline_at = now + (plan.deadlines.contribution_s if collecting else plan.deadlines.share_s)
    open_assignments = select(Assignment).where(
        Assignment.training == training.id, Assignment.round == row.index, Assignment.state == "open"
    )
    for assignment in s.scalars(open_assignments):
        assignment.deadline_at = now + plan.deadlines.share_s


def cancel_training(s: Session, training_id: str, effects: Effects, *, now: float, reason: str) -> Training:
    """The operator ends a training before its time; keys are destroyed as at any end."""
    training = lock_training(s, training_id)
    move_training(s, training, TrainingEvent.CANCEL, effects, now=now, reason=reason)
    return training
