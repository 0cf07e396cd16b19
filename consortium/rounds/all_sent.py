"""Every bank has contributed, and there is nothing else to say of any of them: then the contributor set is everyone,
and who is asked for shares follows from the round's number. Both are written in one statement.

It does what `consortium.rounds.settle` does in this case, which is nearly every round's, and nothing in any other: then
the training is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Table,
    bindparam,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from consortium.chained import Chained
from consortium.rounds.assignments import first_asked
from consortium.rounds.facts import RoundFacts
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.tables import Training, TrainingMember
from protocol.plan import ProtectionLevel
from protocol.states import RoundEvent, RoundState, TrainingState, next_round_state

_ROUNDS = cast("Table", Round.__table__)
_ASSIGNMENTS = cast("Table", Assignment.__table__)
_COLLECTING = RoundState.COLLECTING
_OF_ROUND = bindparam("of_round", type_=_ROUNDS.c.index.type)
_OF_TRAINING = bindparam("of_training", type_=_ROUNDS.c.training.type)
_ACCEPTED = (
    select(func.count())
    .select_from(Contribution)
    .where(Contribution.training == _OF_TRAINING, Contribution.round == _OF_ROUND, Contribution.state == "accepted")
    .scalar_subquery()
)
_ALL_WELL = exists().where(
    Training.id == _OF_TRAINING, Training.state == TrainingState.RUNNING.value, Training.away == 0
) & ~exists().where(
    TrainingMember.training == _OF_TRAINING,
    TrainingMember.on_roster,
    or_(TrainingMember.misses > 0, TrainingMember.complaint.is_not(None)),
)
_FIX = (
    update(_ROUNDS)
    .where(
        _ROUNDS.c.training == _OF_TRAINING,
        _ROUNDS.c.index == _OF_ROUND,
        _ROUNDS.c.state == _COLLECTING.value,
        _ROUNDS.c.awaited == 0,
        _ALL_WELL,
        bindparam("banks") == _ACCEPTED,
    )
    .values(
        state=next_round_state(_COLLECTING, RoundEvent.CONTRIBUTORS_FIXED).value,
        contributors=bindparam("everyone", type_=_ROUNDS.c.contributors.type),
        fixed_at=bindparam("now"),
        deadline_at=bindparam("due"),
        awaited=bindparam("asked"),
        ranges=1,
    )
    .returning(_ROUNDS.c.index)
)


@lru_cache
def _fix_and_ask(count: int) -> Chained:
    """Built once for every number of members that are asked."""
    columns = _ASSIGNMENTS.c
    named = ("training", "round", "number", "node", "pieces", "state", "deadline_at")

    def asked(number: int) -> list[ColumnElement[Any]]:
        return [
            _OF_TRAINING, _OF_ROUND, literal(number), bindparam(f"node_{number}", type_=columns.node.type),
            bindparam(f"pieces_{number}", type_=columns.pieces.type), literal("open"),
            bindparam("due", type_=columns.deadline_at.type),
        ]  # fmt: skip

    def ask(after: Sequence[ColumnElement[bool]], _: CTE | None) -> Any:
        rows = union_all(*(select(*asked(number)).where(*after) for number in range(count)))
        return insert(_ASSIGNMENTS).from_select(named, rows).returning(columns.number)

    return Chained(_FIX, ask)


def fix_and_ask(c: Connection, facts: RoundFacts, *, now: float) -> list[str] | None:
    """Fixes the contributor set and asks for the shares.

    Args:
        c: of `Database.noting`.
        facts: the round.
        now: seconds since the epoch.

    Returns:
        Who is asked; None if it is not this case, and nothing was done.
    """
    protection = facts.plan.protection
    if protection.level is not ProtectionLevel.CKKS or protection.agreement or len(facts.bodies.ranges()) > 1:
        return None
    roster, asked = facts.roster, first_asked(facts.roster, facts.index)
    values: dict[str, Any] = {
        "of_training": facts.training, "of_round": facts.index, "banks": len(roster.members), "now": now,
        "everyone": sorted(member.node for member in roster.members), "due": now + facts.plan.deadlines.share_s,
        "asked": len(asked),
    }  # fmt: skip
    nodes = []
    for number, (index, pieces) in enumerate(asked.items()):
        nodes.append(roster.committee[index])
        values |= {f"node_{number}": roster.committee[index], f"pieces_{number}": list(pieces)}
    return nodes if _fix_and_ask(len(asked)).run(c, values) is not None else None
