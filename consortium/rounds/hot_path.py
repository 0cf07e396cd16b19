"""What happens several times a round, each in one statement: a contribution comes, a share comes, is it the last?

Neither takes the training's lock. What they rely on:

- a contribution is inserted only while its round collects; that row is locked in share mode, and whoever fixes the
  contributor set locks it against that before it reads who has contributed (`consortium.rounds.settle`)
- a share is written only while its assignment is open; whoever cancels assignments locks them before it reads them
  (`consortium.rounds.assignments`)
- each statement is committed before the next one looks: of two that come last at once, at least one sees both, and
  settles; to settle twice does nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection, Select, Table, bindparam, exists, func, literal, or_, select, update

from consortium.db import insert_for
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.tables import Training, TrainingMember
from protocol.states import RoundState, TrainingState

_LIVE = or_(Training.state == TrainingState.RUNNING.value, Training.state == TrainingState.PAUSED.value)
_GIVEN = (
    "training", "round", "node", "statement", "digest", "size_bytes", "inline", "blob", "state", "received_at",
)  # fmt: skip


# As tables: nothing here needs the session's identity map.
_CONTRIBUTIONS = cast("Table", Contribution.__table__)
_ASSIGNMENTS = cast("Table", Assignment.__table__)


# Built once: to build a statement costs about as much as to run it.
def _take_contribution(dialect: str) -> Any:
    insert = insert_for(dialect)
    columns = _CONTRIBUTIONS.c
    given = [bindparam(name, type_=columns[name].type) for name in _GIVEN]
    collecting = (
        select(*given, literal(""))
        .select_from(Round)
        .join(Training, Training.id == Round.training)
        .where(
            Round.training == bindparam("training", type_=columns.training.type),
            Round.index == bindparam("round", type_=columns.round.type),
            Round.state == RoundState.COLLECTING.value,
            _LIVE,
        )
        .with_for_update(read=True, of=Round)
    )
    return (
        insert(_CONTRIBUTIONS)
        .from_select([*_GIVEN, "reason"], collecting)
        .on_conflict_do_nothing()
        .returning(columns.node)
    )


_TAKE_CONTRIBUTION = {dialect: _take_contribution(dialect) for dialect in ("sqlite", "postgresql")}
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
            _LIVE,
        )
    )


_PAUSED = Training.state == TrainingState.PAUSED.value
_COLLECTED = _the_round(RoundState.COLLECTING).where(
    ~_UNCHECKED, or_(_SENT + Training.away >= ROSTER_SIZE, Round.deadline_at <= bindparam("now"), _PAUSED)
)
_ANSWERED = _the_round(RoundState.DECRYPTING).where(or_(~IS_ASKED, _PAUSED))
_TAKE_SHARE = (
    update(_ASSIGNMENTS)
    .where(
        Assignment.training == bindparam("of_training"),
        Assignment.round == bindparam("of_round"),
        Assignment.number == bindparam("of_number"),
        Assignment.node == bindparam("of_node"),
        Assignment.state == "open",
        exists().where(
            Round.training == Assignment.training,
            Round.index == Assignment.round,
            Round.state == RoundState.DECRYPTING.value,
            Training.id == Round.training,
            _LIVE,
        ),
    )
    .values({name: bindparam(name) for name in ("digest", "size_bytes", "inline", "blob", "statement")})
    .values(state="answered")
)
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


def take_contribution(c: Connection, values: Mapping[str, object]) -> bool:
    """Writes a contribution down if its round collects and there is none of this bank.

    Args:
        c: of `Database.noting`.
        values: of every column but the reason.
    """
    statement = _TAKE_CONTRIBUTION[c.dialect.name]
    return c.execute(statement, values).first() is not None


def is_collected(c: Connection, training: str, index: int, *, now: float) -> bool:
    """Whether a round that collects may have to go on: nobody is waited for any more, or something else is due."""
    return c.execute(_COLLECTED, {"training": training, "round": index, "now": now}).first() is not None


def mark_validated(c: Connection, training: str, index: int, node: str, *, state: str, reason: str) -> bool:
    """Writes down what a validation has found, unless that was done before."""
    key = {"of_training": training, "of_round": index, "of_node": node, "found": state, "why": reason}
    return c.execute(_VALIDATED, key).rowcount == 1


def take_share(c: Connection, values: Mapping[str, object]) -> bool:
    """Writes a share down if its assignment is open.

    Args:
        c: of `Database.noting`.
        values: training, round, number and node of the assignment, and what came.
    """
    named = {f"of_{name}" if name in {"training", "round", "number", "node"} else name: values[name] for name in values}
    return c.execute(_TAKE_SHARE, named).rowcount == 1


def is_answered(c: Connection, training: str, index: int) -> bool:
    """Whether a round that is being opened may have to go on: no member is asked any more, or it is paused."""
    return c.execute(_ANSWERED, {"training": training, "round": index}).first() is not None
