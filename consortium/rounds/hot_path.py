"""What happens several times a round: a contribution comes, a share comes, is it the last?

Each is taken without the training's lock. What that relies on:

- whoever takes one locks the round's row first, and so does whoever fixes the contributor set, asks for shares or
  cancels what it has asked for (`consortium.rounds.settle`): a contribution is inserted only while its round collects,
  a share is written only while its assignment is open
- the round's row says how many are awaited, and never too many: whoever settles counts anew, and whoever takes one
  counts it off. Who finds none left settles: the last one always does, and of several at once mostly no other. While
  banks are missing none is awaited, so that any answer settles
- to settle once too often does nothing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from consortium.chained import Chained
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.tables import Training, TrainingMember
from protocol.states import RoundState, TrainingState

#: The training goes on, or may again.
LIVE = or_(Training.state == TrainingState.RUNNING.value, Training.state == TrainingState.PAUSED.value)
_PAUSED = Training.state == TrainingState.PAUSED.value
_GIVEN = (
    "training", "round", "node", "statement", "digest", "size_bytes", "inline", "blob", "state", "received_at",
)  # fmt: skip


# As tables: nothing here needs the session's identity map.
_ROUNDS = cast("Table", Round.__table__)
_CONTRIBUTIONS = cast("Table", Contribution.__table__)
_ASSIGNMENTS = cast("Table", Assignment.__table__)


_LEFT = _ROUNDS.c.awaited - bindparam("counts")


# Built once: to build a statement costs about as much as to run it.
def _count_off(state: RoundState, condition: ColumnElement[bool], **values: Any) -> Any:
    """Counts one off where the round is in this state and the condition holds, and sets what else is given; says what
    is left.
    """
    return (
        update(_ROUNDS)
        .where(
            _ROUNDS.c.training == bindparam("of_training"),
            _ROUNDS.c.index == bindparam("of_round"),
            _ROUNDS.c.state == state.value,
            exists().where(Training.id == _ROUNDS.c.training, LIVE).correlate(_ROUNDS),
            condition,
        )
        .values(awaited=_LEFT, **values)
        .returning(*(_ROUNDS.c[name] for name in ("awaited", "deadline_at", "doubted", "ranges")))
    )


def _take_contribution() -> Chained:
    columns = _CONTRIBUTIONS.c
    sent_before = exists().where(
        columns.training == bindparam("of_training"),
        columns.round == bindparam("of_round"),
        columns.node == bindparam("of_node"),
    )
    given = {name: bindparam(f"of_{name}", type_=columns[name].type) for name in _GIVEN} | {"reason": literal("")}

    def insert_it(after: Sequence[ColumnElement[bool]], _: CTE | None) -> Any:
        rows = select(*given.values()).where(*after)
        # On PostgreSQL the same bank's other request may come to it first.
        insert = postgresql.insert(_CONTRIBUTIONS).on_conflict_do_nothing() if after else sqlite.insert(_CONTRIBUTIONS)
        return insert.from_select(list(given), rows).returning(columns.node)

    return Chained(_count_off(RoundState.COLLECTING, ~sent_before), insert_it)


def _take_share() -> Chained:
    columns = _ASSIGNMENTS.c
    is_open = (
        (columns.training == bindparam("of_training"))
        & (columns.round == bindparam("of_round"))
        & (columns.number == bindparam("of_number"))
        & (columns.node == bindparam("of_node"))
        & (columns.state == "open")
    )

    def answer_it(after: Sequence[ColumnElement[bool]], _: CTE | None) -> Any:
        return (
            update(_ASSIGNMENTS)
            .where(is_open, *after)
            .values({name: bindparam(f"of_{name}") for name in ("digest", "size_bytes", "inline", "blob", "statement")})
            .values(state="answered")
            .returning(columns.number)
        )

    came_at = case((_LEFT <= 0, bindparam("now")), else_=_ROUNDS.c.shares_at)
    return Chained(_count_off(RoundState.DECRYPTING, exists().where(is_open), shares_at=came_at), answer_it)


_TAKE_CONTRIBUTION, _TAKE_SHARE = _take_contribution(), _take_share()
_IN_ROUND = (Contribution.training == Round.training) & (Contribution.round == Round.index)
_SENT = select(func.count()).select_from(Contribution).where(_IN_ROUND).correlate(Round).scalar_subquery()
#: How many banks are on the roster of a round's training.
ROSTER_SIZE = (
    select(func.count())
    .select_from(TrainingMember)
    .where(TrainingMember.training == Round.training, TrainingMember.on_roster)
    .correlate(Round)
    .scalar_subquery()
)
_UNCHECKED = exists().where(_IN_ROUND, Contribution.state == "received")
#: Whether a committee member is asked for a share of a round.
IS_ASKED = exists().where(
    Assignment.training == Round.training, Assignment.round == Round.index, Assignment.state == "open"
)


def _the_round(state: RoundState) -> Select[int]:
    """A row if the round is in this state, and its training has not ended."""
    return (
        select(literal(1))
        .select_from(Round)
        .join(Training, Training.id == Round.training)
        .where(
            Round.training == bindparam("training"),
            Round.index == bindparam("round"),
            Round.state == state.value,
            LIVE,
        )
    )


_COLLECTED = _the_round(RoundState.COLLECTING).where(
    ~_UNCHECKED, or_(_SENT + Training.away >= ROSTER_SIZE, Round.deadline_at <= bindparam("now"), _PAUSED)
)
_ANSWERED = _the_round(RoundState.DECRYPTING).where(or_(~IS_ASKED, _PAUSED))
_VALIDATED = (
    update(_CONTRIBUTIONS)
    .where(
        Contribution.training == bindparam("of_training"),
        Contribution.round == bindparam("of_round"),
        Contribution.node == bindparam("of_node"),
        Contribution.state == "received",
    )
    .values(state=bindparam("found"), reason=bindparam("why"))
)


class Taken(NamedTuple):
    """What was taken.

    Attributes:
        is_due: nothing more is awaited, or a deadline has passed: the training must be settled.
        is_plain: nothing more is awaited and nobody doubted, and the sum has one range: there is no more to settle
            than that the round can be closed, if it is shares that are awaited.
    """

    is_due: bool
    is_plain: bool


def take_contribution(c: Connection, values: Mapping[str, object], *, counts: bool, now: float) -> Taken | None:
    """Writes a contribution down if its round collects and there is none of this bank.

    Args:
        c: of `Database.noting`.
        values: of every column but the reason.
        counts: it needs no validation by a worker: nobody waits for this bank any more.
        now: seconds since the epoch.
    """
    return _take(c, _TAKE_CONTRIBUTION, values, counts=counts, now=now)


def take_share(c: Connection, values: Mapping[str, object], *, now: float) -> Taken | None:
    """Writes a share down if its assignment is open.

    Args:
        c: of `Database.noting`.
        values: training, round, number and node of the assignment, and what came.
        now: seconds since the epoch.
    """
    return _take(c, _TAKE_SHARE, values, counts=True, now=now)


def _take(c: Connection, take: Chained, values: Mapping[str, object], *, counts: bool, now: float) -> Taken | None:
    named = {f"of_{name}": value for name, value in values.items()} | {"counts": int(counts), "now": now}
    left = take.run(c, named)
    if left is None:
        return None
    late = left.deadline_at <= now
    return Taken(
        is_due=left.awaited <= 0 or late, is_plain=left.awaited == 0 and not (late or left.doubted or left.ranges > 1)
    )


def is_collected(c: Connection, training: str, index: int, *, now: float) -> bool:
    """Whether a round that collects may have to go on: nobody is waited for any more, or something else is due."""
    return c.execute(_COLLECTED, {"training": training, "round": index, "now": now}).first() is not None


def mark_validated(c: Connection, training: str, index: int, node: str, *, state: str, reason: str) -> bool:
    """Writes down what a validation has found, unless that was done before."""
    key = {"of_training": training, "of_round": index, "of_node": node, "found": state, "why": reason}
    return c.execute(_VALIDATED, key).rowcount == 1


def is_answered(c: Connection, training: str, index: int) -> bool:
    """Whether a round that is being opened may have to go on: no member is asked any more, or it is paused."""
    return c.execute(_ANSWERED, {"training": training, "round": index}).first() is not None
