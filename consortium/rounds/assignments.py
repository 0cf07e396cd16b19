"""Who is asked for which pieces of the key, and who is asked instead when somebody falls silent or answers wrongly.

Committee members are numbered by their place in the roster's committee. A set of shares that does not open the sum says
that one of them is wrong, but not whose. Then one member after the other is *set aside* and its pieces are asked of the
others that hold them, until the sum opens: whoever was set aside then had answered wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

import crypto
from consortium.rounds.tables import Assignment, Round, VoteRow
from consortium.trainings.moves import Scene, members_of, roster_of
from consortium.trainings.tables import TrainingMember
from crypto.errors import PiecesNotCovered
from protocol.roster import Roster
from protocol.statements import SignedStatement, Vote


@dataclass(frozen=True, slots=True)
class SharesOutcome:
    """Where the shares stand.

    Attributes:
        covered: every piece is covered by one answered assignment.
        short: a sentence's start when too few members are there to cover the rest; None otherwise.
        wanted: how many are needed.
    """

    covered: bool = False
    short: str | None = None
    wanted: int = 0


def settle_shares(scene: Scene, row: Round) -> SharesOutcome:
    """Gathers votes first (with agreement), then assigns every piece that nobody covers or is asked for."""
    s, now = scene.s, scene.now
    roster = roster_of(scene.training)
    if scene.plan.protection.agreement:
        short = _settle_votes(scene, row, _committee(scene))
        if short is not None:
            return short
    assignments = _assignments_of(s, row)
    expired = [item for item in assignments if item.state == "open" and now >= item.deadline_at]
    for assignment in expired:
        assignment.state = "cancelled"
        member = s.get_one(TrainingMember, (row.training, assignment.node))
        scene.away(member, f"no share for round {row.index}", round_index=row.index)
    held = {state: _pieces(assignments, state) for state in ("open", "answered")}
    missing = sorted(set(range(_piece_count(roster))) - held["open"] - held["answered"])
    if missing:
        return _assign(scene, row, _committee(scene), assignments, missing)
    return SharesOutcome(covered=not held["open"])


def _committee(scene: Scene) -> dict[str, TrainingMember]:
    roster = roster_of(scene.training)
    return {member.node: member for member in members_of(scene.s, roster.training) if member.node in roster.committee}


_ASSIGNMENTS = (
    select(Assignment)
    .where(Assignment.training == bindparam("training"), Assignment.round == bindparam("round"))
    .order_by(Assignment.number)
)


def _assignments_of(s: Session, row: Round) -> list[Assignment]:
    return list(s.scalars(_ASSIGNMENTS, {"training": row.training, "round": row.index}))


def _pieces(assignments: list[Assignment], state: str) -> set[int]:
    return {piece for assignment in assignments if assignment.state == state for piece in assignment.pieces}


def _piece_count(roster: Roster) -> int:
    return len(crypto.piece_layout(len(roster.committee), roster.threshold))


def _assign(
    scene: Scene, row: Round, members: dict[str, TrainingMember], assignments: list[Assignment], missing: list[int]
) -> SharesOutcome:
    roster = roster_of(scene.training)
    size = len(roster.committee)
    suspects = {assignment.node for assignment in assignments if assignment.state == "set_aside"}
    turn = sorted(range(size), key=lambda index: (members[roster.committee[index]].misses, (index + row.index) % size))
    available = [
        index
        for index in turn
        if members[roster.committee[index]].away_since is None and roster.committee[index] not in suspects
    ]
    try:
        asked = crypto.assign(size, roster.threshold, available=available, missing=missing)
    except PiecesNotCovered:
        got = f"{len(available)} of {size} committee members are there"
        return SharesOutcome(short=got, wanted=roster.threshold)
    for number, (index, pieces) in enumerate(asked.items(), start=len(assignments)):
        node = roster.committee[index]
        scene.s.add(
            Assignment(
                training=row.training, round=row.index, number=number, node=node, pieces=list(pieces), state="open",
                deadline_at=scene.now + scene.plan.deadlines.share_s,
            )
        )  # fmt: skip
        scene.effects.wake.add(node)
        if assignments:
            detail = f"{len(pieces)} pieces asked of {members[node].name} instead"
            scene.record("reassigned", node=node, round_index=row.index, detail=detail)
    scene.s.flush()
    return SharesOutcome()


def _settle_votes(scene: Scene, row: Round, members: dict[str, TrainingMember]) -> SharesOutcome | None:
    s, plan, now = scene.s, scene.plan, scene.now
    roster = roster_of(scene.training)
    voted = {vote.node for vote in votes_of(s, row)}
    needed = crypto.votes_needed(len(roster.committee), plan.protection.colluders)
    if len(voted) >= needed:
        return None
    waiting = [member for node, member in members.items() if node not in voted and member.away_since is None]
    if now >= row.deadline_at:
        for member in waiting:
            scene.away(member, f"no vote in round {row.index}", round_index=row.index)
        waiting = []
        row.deadline_at = now + plan.deadlines.share_s
    if len(voted) + len(waiting) < needed:
        return SharesOutcome(short=f"{len(voted)} committee members have voted", wanted=needed)
    scene.effects.wake.update(member.node for member in waiting)
    return SharesOutcome()


def votes_of(s: Session, row: Round) -> list[VoteRow]:
    """The votes that name exactly the fixed contributor set."""
    rows = s.scalars(
        select(VoteRow).where(VoteRow.training == row.training, VoteRow.round == row.index).order_by(VoteRow.node)
    )
    wanted = tuple(row.contributors or ())
    return [
        vote for vote in rows
        if SignedStatement.model_validate_json(vote.statement).expect(Vote).contributors == wanted
    ]  # fmt: skip


def set_aside_next(s: Session, row: Round) -> bool:
    """After a combination that did not check out: sets the next suspect aside, and takes the last one back.

    Returns:
        False when everybody has been under suspicion: the fault lies elsewhere.
    """
    assignments = _assignments_of(s, row)
    first = [assignment.node for assignment in assignments if assignment.state in {"answered", "set_aside"}]
    suspects = list(dict.fromkeys(first))
    if row.failures >= len(suspects):
        return False
    suspect = suspects[row.failures]
    released = {a.number for a in assignments if a.state == "set_aside"}
    taken_back = {piece for a in assignments if a.number in released for piece in a.pieces}
    for assignment in assignments:
        if assignment.number in released:
            assignment.state = "answered"
        elif assignment.state == "answered" and set(assignment.pieces) & taken_back:
            assignment.state = "cancelled"  # stood in for the one who is taken back
    for assignment in assignments:
        if assignment.state == "answered" and assignment.node == suspect:
            assignment.state = "set_aside"
    row.failures += 1
    return True
