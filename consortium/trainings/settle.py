"""Moves a training as far as what lies in the database allows: invitation, key ceremony, rounds, evaluation.

Every request, task and deadline that may have changed something ends in `settle`, with the training's row locked. It
is a function of the database and the clock alone, so that calling it once more does nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.models.service import release
from consortium.queue.port import Effects, TaskName
from consortium.rounds.settle import lock_both, settle_round
from consortium.rounds.tables import Round
from consortium.trainings.moves import (
    Scene,
    lock_training,
    members_of,
    plan_of,
    roster_of,
)
from consortium.trainings.tables import CeremonyStep, Training, TrainingMember
from protocol.committee import committee_for
from protocol.errors import CommitteeTooWeak
from protocol.history import first_history
from protocol.ids import TrainingId
from protocol.roster import Member, Roster
from protocol.statements import SignedStatement, deals_digest
from protocol.states import TrainingEvent, TrainingState

#: How long an invitation stays open that enough banks have refused, in seconds: for the others' reasons.
_LAST_ANSWERS_S = 5.0


def settle(s: Session, training: Training, effects: Effects, *, now: float) -> None:
    """Takes every step that is due.

    Args:
        s: inside a transaction.
        training: its row, locked.
        effects: what must follow once the transaction is committed.
        now: seconds since the epoch.
    """
    _settle(Scene(s, training, plan_of(training), effects, now))


def settle_locked(s: Session, training_id: str, effects: Effects, *, now: float) -> None:
    """Locks a training, in most cases with the round that it is at, and takes every step that is due."""
    both = lock_both(s, training_id)
    training = lock_training(s, training_id) if both is None else both[0]
    _settle(Scene(s, training, plan_of(training), effects, now), None if both is None else both[1])


def _settle(scene: Scene, row: Round | None = None) -> None:
    match scene.training.status:
        case TrainingState.INVITING:
            _settle_invitation(scene)
        case TrainingState.KEY_CEREMONY:
            _settle_ceremony(scene)
        case TrainingState.RUNNING | TrainingState.PAUSED:
            settle_round(scene, row)
        case TrainingState.EVALUATING:
            _settle_evaluation(scene)
        case _:
            pass


def _settle_invitation(scene: Scene) -> None:
    s, training, plan, now = scene.s, scene.training, scene.plan, scene.now
    members = members_of(s, training.id)
    accepted = [member for member in members if member.answer == "accepted"]
    pending = [member for member in members if member.answer == "pending"]
    wanted = plan.cohort.min_banks
    late = training.deadline_at is not None and now >= training.deadline_at
    possible = len(accepted) + (0 if late else len(pending))
    if possible < wanted and pending and not late:
        # In vain already; who was asked and runs says its reason within seconds, and the operator reads all at once.
        training.deadline_at = min(training.deadline_at or inf, now + _LAST_ANSWERS_S)
    elif possible < wanted:
        refused = ", ".join(f"{m.name} ({m.refusal})" for m in members if m.answer == "refused")
        silent = ", ".join(m.name for m in pending)
        reason = f"{len(accepted)} of {len(members)} banks accepted, {wanted} are needed"
        reason += f"; refused: {refused}" if refused else ""
        reason += f"; no answer in time: {silent}" if silent else ""
        scene.move(TrainingEvent.FAIL, reason=reason)
    elif late or not pending:
        for member in pending:
            scene.record("not_on_roster", node=member.node, detail="no answer in time")
        _fix_roster(scene, accepted, TrainingEvent.ROSTER_FIXED)


def _fix_roster(scene: Scene, members: list[TrainingMember], event: TrainingEvent, *, reason: str = "") -> None:
    """Fixes the roster and takes this step; ends the training if the committee of so few banks would be too weak."""
    s, training = scene.s, scene.training
    acceptances = {member.node: SignedStatement.model_validate_json(member.acceptance or "") for member in members}
    try:
        committee, threshold = committee_for(scene.plan, TrainingId(training.id), acceptances.values())
    except CommitteeTooWeak as error:
        scene.move(TrainingEvent.FAIL, reason=str(error))
        return
    roster = Roster(
        training=training.id,
        attempt=training.attempt,
        members=tuple(
            Member(
                node=member.node,
                name=member.name,
                signing_key=member.signing_key,
                acceptance=acceptances[member.node],
            )
            for member in members
        ),
        committee=committee,
        threshold=threshold,
    )
    for member in members_of(s, training.id):
        member.on_roster = member.node in acceptances
    training.away = sum(member.away_since is not None for member in members)
    training.roster_json = roster.model_dump_json()
    training.roster_digest = roster.digest()
    training.deadline_at = scene.now + scene.plan.deadlines.ceremony_s
    scene.move(event, reason=reason)


def _settle_ceremony(scene: Scene) -> None:
    s, training, now = scene.s, scene.training, scene.now
    members = scene.members
    steps = {
        step.node: step
        for step in s.scalars(
            select(CeremonyStep).where(CeremonyStep.training == training.id, CeremonyStep.attempt == training.attempt)
        )
    }
    dealt = {node for node, step in steps.items() if step.deal is not None}
    received = {node for node, step in steps.items() if step.receipt is not None}
    everyone = {member.node for member in members}
    if everyone <= received:
        roster = roster_of(training)
        deals = [SignedStatement.model_validate_json(steps[member.node].deal or "") for member in roster.members]
        training.history = first_history(
            TrainingId(training.id), plan=training.plan_digest, roster=roster.digest(), deals=deals_digest(deals)
        )
        training.deadline_at = None
        training.started_at = now
        scene.move(TrainingEvent.KEYS_SHARED)
        scene.effects.queue(TaskName.ADVANCE, training.id)
        return
    if everyone <= dealt:
        scene.effects.wake.update(everyone - received)
    if training.deadline_at is not None and now >= training.deadline_at:
        silent = everyone - (received if everyone <= dealt else dealt)
        restart_ceremony(scene, silent, "missed the key ceremony's deadline")


def restart_ceremony(scene: Scene, struck: Collection[str], why: str) -> None:
    """Begins the key ceremony again without these nodes, or ends the training if too few are left."""
    members, wanted = scene.members, scene.plan.cohort.min_banks
    remaining = [member for member in members if member.node not in struck]
    for node in sorted(struck):
        scene.record("struck", node=node, detail=why)
    names = ", ".join(member.name for member in members if member.node in struck)
    if len(remaining) < wanted:
        reason = f"{len(remaining)} banks are left in the key ceremony, {wanted} are needed; struck: {names} ({why})"
        scene.move(TrainingEvent.FAIL, reason=reason)
        return
    scene.training.attempt += 1
    _fix_roster(scene, remaining, TrainingEvent.CEREMONY_RESTARTED, reason=f"without {names}: {why}")


def _settle_evaluation(scene: Scene) -> None:
    s, training, plan, now = scene.s, scene.training, scene.plan, scene.now
    members = scene.members
    confirmed = [member for member in members if member.model_digest is not None]
    disagreeing = [member.name for member in confirmed if member.model_digest != training.model_digest]
    if disagreeing:
        reason = f"the model that {', '.join(disagreeing)} derived is another than the service's: nothing is released"
        scene.move(TrainingEvent.FAIL, reason=reason)
        return
    waiting = [member for member in members if member.model_digest is None and member.away_since is None]
    if training.deadline_at is not None and now >= training.deadline_at:
        for member in waiting:
            scene.away(member, detail="did not confirm the model in time")
        waiting = []
        training.deadline_at = now + plan.deadlines.contribution_s
    if not waiting and len(confirmed) >= plan.cohort.min_banks:
        scene.move(TrainingEvent.MODEL_CONFIRMED)
        release(
            s, training=training.id, name=training.plan_name, digest=training.model_digest or "",
            blob=training.model_blob or "", sha256=training.model_sha256 or "", now=now,
        )  # fmt: skip
        scene.record("released", detail=f"model {training.model_digest}")
