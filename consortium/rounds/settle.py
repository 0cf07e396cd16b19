"""Moves a round as far as what lies in the database allows; see `consortium.trainings.settle`.

collecting ── everyone who is counted on has been validated, or the deadline has passed with the quorum ──► U fixed
decrypting ── votes (with agreement) ──► assignments ──► every piece covered, every range summed ──► `close_round`
"""

from __future__ import annotations

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from consortium.queue.port import TaskName
from consortium.rounds.assignments import settle_shares
from consortium.rounds.protection import bodies_of
from consortium.rounds.tables import Contribution, Round, SumRange
from consortium.trainings.moves import Scene, mark_answered, roster_of
from consortium.trainings.tables import Training, TrainingMember
from protocol.plan import ProtectionLevel
from protocol.states import RoundEvent, RoundState, TrainingEvent, TrainingState, next_round_state

# The banks on the roster in ascending order of node id, and the states of their contributions.
_MEMBERS = (
    select(TrainingMember, Contribution.state)
    .outerjoin(
        Contribution,
        (Contribution.training == TrainingMember.training)
        & (Contribution.round == bindparam("round"))
        & (Contribution.node == TrainingMember.node),
    )
    .where(TrainingMember.training == bindparam("training"), TrainingMember.on_roster)
    .order_by(TrainingMember.node)
)

# PostgreSQL's FOR NO KEY UPDATE: rows that refer to the round may still be written.
_LOCK_ROUND = (
    select(Round)
    .where(Round.training == bindparam("training"), Round.index == bindparam("round"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_LOCK_BOTH = (
    select(Training, Round)
    .join(Round, (Round.training == Training.id) & (Round.index == Training.round))
    .where(Training.id == bindparam("training"))
    .with_for_update(key_share=True, of=[Training, Round])
    .execution_options(populate_existing=True)
)


def lock_both(s: Session, training: str) -> tuple[Training, Round] | None:
    """A training and the round that it is at, locked as `lock_training` does it; None if no round is open, or if the
    training has moved while it was waited for.
    """
    found = s.execute(_LOCK_BOTH, {"training": training}).one_or_none()
    return None if found is None else (found[0], found[1])


def settle_round(scene: Scene, row: Round | None = None) -> None:
    """Takes every step that is due in the round that is next or open; nothing while the operator has paused.

    Args:
        scene: what is settled.
        row: the round, if it is locked already.
    """
    s, training = scene.s, scene.training
    if training.pause == "operator":
        return
    if row is None:
        # Locked, since contributions and shares are taken without the training's lock: whoever fixes U, or says how
        # many are awaited, must have seen them.
        row = s.scalar(_LOCK_ROUND, {"training": training.id, "round": training.round})
    if row is None:
        if training.status is TrainingState.RUNNING:
            scene.effects.queue(TaskName.ADVANCE, training.id)
        return
    collecting = row.status is RoundState.COLLECTING
    if collecting:
        _settle_collecting(scene, row)
    if row.status is RoundState.DECRYPTING:
        _settle_decrypting(scene, row, just_fixed=collecting)


def _settle_collecting(scene: Scene, row: Round) -> None:
    s, training, plan, now = scene.s, scene.training, scene.plan, scene.now
    found = s.execute(_MEMBERS, {"training": row.training, "round": row.index}).all()
    states: dict[str, str] = {member.node: state for member, state in found if state is not None}
    members = scene.members = [member for member, _ in found]
    for member in members:
        if member.node in states and (member.misses or member.complaint or member.away_since is not None):
            mark_answered(s, member, now=now)
    accepted = sorted(node for node, state in states.items() if state == "accepted")
    unchecked = [node for node, state in states.items() if state == "received"]
    waiting = [member for member in members if member.node not in states and member.away_since is None]
    wanted = plan.cohort.min_banks
    row.awaited = len(waiting) + len(unchecked)
    if training.status is TrainingState.PAUSED:
        if len(accepted) + len(unchecked) + len(waiting) < wanted:
            row.awaited = 0
            return
        row.deadline_at = now + plan.deadlines.contribution_s
        scene.move(TrainingEvent.RESUME, reason="enough banks are back")
        scene.effects.wake.update(member.node for member in waiting)
    if unchecked:  # their validation is queued, and ends here again
        return
    if waiting and now >= row.deadline_at:
        for member in waiting:
            scene.away(member, f"no contribution to round {row.index}", round_index=row.index)
        waiting = []
    if waiting:
        return
    if len(accepted) < wanted:
        _pause(scene, row, members, f"{len(accepted)} of {len(members)} banks contributed", wanted)
    else:
        _fix_contributors(scene, row, accepted)


def _pause(scene: Scene, row: Round, members: list[TrainingMember], got: str, wanted: int) -> None:
    away = ", ".join(member.name for member in members if member.away_since is not None)
    reason = f"round {row.index}: {got}, {wanted} are needed" + (f"; waiting for {away}" if away else "")
    row.awaited = 0  # whoever answers may be the one that was missing
    if scene.training.status is TrainingState.RUNNING:
        scene.move(TrainingEvent.PAUSE, reason=reason, pause="quorum")


def _fix_contributors(scene: Scene, row: Round, contributors: list[str]) -> None:
    """Fixes U once and for all, and asks for the sums, which do not depend on the shares; the row is locked."""
    s, training, plan, now = scene.s, scene.training, scene.plan, scene.now
    ranges = bodies_of(training, plan, row).ranges()
    row.state = next_round_state(row.status, RoundEvent.CONTRIBUTORS_FIXED).value
    row.contributors, row.fixed_at = contributors, now
    row.deadline_at = now + plan.deadlines.share_s
    row.ranges = len(ranges)
    left_out = len(roster_of(training).members) - len(contributors)
    if left_out:
        detail = f"{len(contributors)} contributors, {left_out} left out"
        scene.record("left_out", round_index=row.index, detail=detail)
    if len(ranges) > 1:
        for first, count in ranges:
            s.add(SumRange(training=row.training, round=row.index, first_chunk=first, chunk_count=count))
            scene.effects.queue(TaskName.SUM_RANGE, row.training, row.index, first)


def _settle_decrypting(scene: Scene, row: Round, *, just_fixed: bool) -> None:
    s, training, plan, now = scene.s, scene.training, scene.plan, scene.now
    if plan.protection.level is ProtectionLevel.CKKS:
        outcome = settle_shares(scene, row, asked_before=not just_fixed)
        if outcome.short is not None:
            _pause(scene, row, scene.members, outcome.short, outcome.wanted)
            return
        if training.status is TrainingState.PAUSED:
            scene.move(TrainingEvent.RESUME, reason="enough banks are back")
        if not outcome.covered:
            return
    if row.shares_at is None:
        row.shares_at = now
    if row.ranges == 1 or not _unsummed(s, row):
        scene.effects.queue(TaskName.CLOSE_ROUND, row.training, row.index)


def _unsummed(s: Session, row: Round) -> bool:
    open_range = select(SumRange.first_chunk).where(
        SumRange.training == row.training, SumRange.round == row.index, SumRange.blob.is_(None)
    )
    return s.scalar(open_range.limit(1)) is not None
