"""Who is asked for which pieces of the key, and who is asked instead when somebody falls silent or answers wrongly.

Committee members are numbered by their place in the roster's committee. A *cover* is a set of answers that has every
piece once. When the first cover does not open the sum, one of its answers is wrong, but nothing says whose: they are
*doubted*. Then for every member in it the others are asked for that member's pieces in its stead, which makes one cover
without each. If one member alone answers wrongly the cover without it opens, whatever it says in others' stead; so a
member without whom the sum does not open either is cleared. More than one cover may open: who stands in for an honest
member with the opposite of its own error makes the cover without that one open too. Then both are suspects, and neither
is named alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

import crypto
from consortium.rounds.tables import Assignment, Round, VoteRow
from consortium.trainings.moves import Scene, roster_of
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


def settle_shares(scene: Scene, row: Round, *, asked_before: bool) -> SharesOutcome:
    """Gathers votes first (with agreement), then assigns every piece that nobody covers or is asked for.

    Args:
        scene: what is settled.
        row: the round, locked.
        asked_before: somebody may have been asked: not in the transaction that has fixed the contributor set.
    """
    if scene.plan.protection.agreement:
        short = _settle_votes(scene, row, _committee(scene))
        if short is not None:
            return short
    assignments = assignments_of(scene.s, row) if asked_before else []
    for assignment in assignments:
        if assignment.state == "open" and scene.now >= assignment.deadline_at:
            assignment.state = "cancelled"
            member = scene.s.get_one(TrainingMember, (row.training, assignment.node))
            scene.away(member, f"no share for round {row.index}", round_index=row.index)
    if row.doubted:
        outcome = _settle_covers_without_each(scene, row, assignments)
    else:
        outcome = _settle_cover(scene, row, assignments, instead_of=None)
    row.awaited = sum(assignment.state == "open" for assignment in assignments)
    return outcome


def _settle_cover(scene: Scene, row: Round, assignments: list[Assignment], *, instead_of: str | None) -> SharesOutcome:
    """The first cover, or what others are asked in the stead of a member."""
    if instead_of is None:
        wanted = set(range(_piece_count(roster_of(scene.training))))
    else:
        wanted = _pieces(a for a in assignments if is_counted(a) and a.node == instead_of)
    asked = [a for a in assignments if a.instead_of == instead_of and a.state in {"open", "answered"}]
    missing = sorted(wanted - _pieces(asked))
    if missing:
        return _assign(scene, row, assignments, missing, instead_of=instead_of)
    return SharesOutcome(covered=all(assignment.state == "answered" for assignment in asked))


def _settle_covers_without_each(scene: Scene, row: Round, assignments: list[Assignment]) -> SharesOutcome:
    """Waits for every answer that can be had, so that as many as possible are cleared; what cannot be had holds up
    nobody.
    """
    outcomes = [
        _settle_cover(scene, row, assignments, instead_of=suspect) for suspect in sorted(suspects_of(assignments))
    ]
    if any(not outcome.covered and outcome.short is None for outcome in outcomes):
        return SharesOutcome()
    return max(outcomes, key=lambda outcome: outcome.covered, default=SharesOutcome())


class Asked(Protocol):
    """What a committee member was asked for: a row, or what was read of one."""

    @property
    def node(self) -> str:
        """Who."""

    @property
    def instead_of(self) -> str | None:
        """In whose stead."""

    @property
    def state(self) -> str:
        """As `Assignment` has it."""


def is_counted(assignment: Asked) -> bool:
    """Whether this is an answer of the first cover."""
    return assignment.instead_of is None and assignment.state == "answered"


def suspects_of(assignments: Iterable[Asked]) -> set[str]:
    """The members of the first cover that no cover without them has cleared."""
    known = list(assignments)
    cleared = {assignment.instead_of for assignment in known if assignment.state == "in_vain"}
    return {assignment.node for assignment in known if is_counted(assignment)} - cleared


def _committee(scene: Scene) -> dict[str, TrainingMember]:
    roster = roster_of(scene.training)
    return {member.node: member for member in scene.members if member.node in roster.committee}


# Locked, since a share is taken without the training's lock: whoever reads one as open may cancel it.
_ASSIGNMENTS = (
    select(Assignment)
    .where(Assignment.training == bindparam("training"), Assignment.round == bindparam("round"))
    .order_by(Assignment.number)
    .with_for_update()
    .execution_options(populate_existing=True)
)
_VOTES = (
    select(VoteRow.statement)
    .where(VoteRow.training == bindparam("training"), VoteRow.round == bindparam("round"))
    .order_by(VoteRow.node)
)


def assignments_of(s: Session, row: Round) -> list[Assignment]:
    """All of a round, in the order in which they were made; locked until the transaction ends."""
    return list(s.scalars(_ASSIGNMENTS, {"training": row.training, "round": row.index}))


def _pieces(assignments: Iterable[Assignment]) -> set[int]:
    return {piece for assignment in assignments for piece in assignment.pieces}


def _piece_count(roster: Roster) -> int:
    return len(crypto.piece_layout(len(roster.committee), roster.threshold))


def _assign(
    scene: Scene, row: Round, assignments: list[Assignment], missing: list[int], *, instead_of: str | None
) -> SharesOutcome:
    """Asks for pieces; what is asked is appended to the assignments."""
    roster, members = roster_of(scene.training), _committee(scene)
    size = len(roster.committee)
    excluded = {assignment.node for assignment in assignments if assignment.state == "refused"} | {instead_of}
    available = [
        index
        for index in _turn(row.index, [members[node].misses for node in roster.committee])
        if members[roster.committee[index]].away_since is None and roster.committee[index] not in excluded
    ]
    counted = {assignment.node for assignment in assignments if is_counted(assignment)} if instead_of else set()
    try:
        asked = _share_out(roster, available, missing, counted)
    except PiecesNotCovered:
        got = f"{len(available)} of {size} committee members are there"
        return SharesOutcome(short=got, wanted=roster.threshold)
    again = bool(assignments)
    whose = " instead" if instead_of is None else f" in the stead of {members[instead_of].name}"
    for number, (index, pieces) in enumerate(asked.items(), start=len(assignments)):
        node = roster.committee[index]
        assignment = Assignment(
            training=row.training, round=row.index, number=number, node=node, instead_of=instead_of,
            pieces=list(pieces), state="open", deadline_at=scene.now + scene.plan.deadlines.share_s,
        )  # fmt: skip
        scene.s.add(assignment)
        scene.effects.wake.add(node)
        if again:
            detail = f"{len(pieces)} pieces asked of {members[node].name}{whose}"
            scene.record("reassigned", node=node, round_index=row.index, detail=detail)
        assignments.append(assignment)
    return SharesOutcome()


def _turn(round_index: int, misses: Sequence[int]) -> list[int]:
    """The committee's members in the order in which they are asked: who has missed least, then each in turn."""
    size = len(misses)
    return sorted(range(size), key=lambda index: (misses[index], (index + round_index) % size))


def first_asked(roster: Roster, round_index: int) -> dict[int, tuple[int, ...]]:
    """Which member is asked for which pieces where all are there and none has missed anything."""
    turn = _turn(round_index, [0] * len(roster.committee))
    return _share_out(roster, turn, range(_piece_count(roster)), ())


def _share_out(
    roster: Roster, available: Sequence[int], missing: Sequence[int], counted: Collection[str]
) -> dict[int, tuple[int, ...]]:
    """Which member is asked for which pieces: one whose answer is counted already, and who may have erred there, only
    for what nobody else holds.
    """
    size, threshold = len(roster.committee), roster.threshold
    layout = crypto.piece_layout(size, threshold)
    fresh = [index for index in available if roster.committee[index] not in counted]
    others = [index for index in available if index not in fresh]
    of_fresh = [piece for piece in missing if set(layout[piece]) & set(fresh)]
    of_others = [piece for piece in missing if piece not in of_fresh]
    return crypto.assign(size, threshold, available=fresh, missing=of_fresh) | crypto.assign(
        size, threshold, available=others, missing=of_others
    )


def _settle_votes(scene: Scene, row: Round, members: dict[str, TrainingMember]) -> SharesOutcome | None:
    s, plan, now = scene.s, scene.plan, scene.now
    roster = roster_of(scene.training)
    voted = {vote.expect(Vote).node for vote in votes_of(s, row.training, row.index, row.contributors or ())}
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


def votes_of(s: Session, training: str, index: int, contributors: Sequence[str]) -> list[SignedStatement]:
    """The votes in a round that name exactly this contributor set, in ascending order of node id."""
    found = s.execute(_VOTES, {"training": training, "round": index})
    votes = [SignedStatement.model_validate_json(text) for (text,) in found]
    return [vote for vote in votes if vote.expect(Vote).contributors == tuple(contributors)]


def clear(s: Session, row: Round, without: Collection[str | None]) -> bool:
    """Writes down that the covers without these members did not open, which clears them.

    Returns:
        False when everybody is cleared: the fault lies elsewhere.
    """
    assignments = assignments_of(s, row)
    for assignment in assignments:
        if assignment.instead_of in without and not is_counted(assignment) and assignment.state == "answered":
            assignment.state = "in_vain"
    return bool(suspects_of(assignments))


def refuse(s: Session, row: Round, number: int) -> bool:
    """Takes no account of an answer that is none: its pieces are asked of others, and nothing more of its member.

    If it belonged to the first cover that cover is completed anew, and so is all doubt about it.

    Returns:
        False if this was done before.
    """
    assignments = assignments_of(s, row)
    refused = assignments[number]
    if refused.state != "answered":
        return False
    refused.state = "refused"
    if refused.instead_of is None:
        row.doubted = False
        for assignment in assignments:
            if assignment.instead_of is not None and assignment.state != "refused":
                assignment.state = "cancelled"
    return True
