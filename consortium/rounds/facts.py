"""What never changes about a round once it is open: read once a process, so that a request need not."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import aliased

from consortium.db import Database
from consortium.lru_cache import LRUCache
from consortium.prepared import Prepared
from consortium.rounds.protection import RoundBodies, bodies_for
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.errors import NotOnRoster, TrainingMissing, WrongRound, WrongState
from consortium.trainings.moves import terms_of
from consortium.trainings.tables import Training
from protocol.messages import AppliedRound
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.statements import SignedStatement
from protocol.states import RoundState


@dataclass(frozen=True)
class RoundFacts:
    """A round's constants.

    Attributes:
        training: the training's id.
        index: the round's number.
        query: digest of its query.
        history: the chain's value before it.
        plan: the training's plan.
        roster: who takes part.
        bodies: what contributions and shares look like.
    """

    training: str
    index: int
    query: str
    history: str
    plan: Plan
    roster: Roster
    bodies: RoundBodies

    @property
    def where(self) -> str:
        """For messages."""
        return f"round {self.index} of training {self.training}"

    def require_member(self, node: str) -> None:
        """Raises `NotOnRoster` for anyone else."""
        if self.roster.member(node) is None:
            raise NotOnRoster(self.where, expected="a bank on the roster", got=f"node {node}")


_FACTS: LRUCache[RoundFacts] = LRUCache(256)
# Built once: to build a statement costs about as much as to run it.
_BEFORE = aliased(Round)
_APPLIED_COLUMNS = ("index", "contributors", "query_digest", "aggregate_digest", "aggregate_size", "aggregate_inline")
_OPEN = Prepared(
    select(
        *(Training.state, Training.round.label("present"), Training.plan_digest, Training.roster_digest),
        *(Round.query_digest, Round.history, Round.query_name, Round.length, Round.bound, Round.resolution),
        *(getattr(_BEFORE, name).label(f"before_{name}") for name in _APPLIED_COLUMNS),
    )
    .select_from(Training)
    .outerjoin(Round, (Round.training == Training.id) & (Round.index == bindparam("round")))
    .outerjoin(
        _BEFORE,
        (_BEFORE.training == Training.id)
        & (_BEFORE.index == bindparam("before"))
        & (_BEFORE.state == RoundState.APPLIED.value),
    )
    .where(Training.id == bindparam("training"))
)


def find_facts(db: Database, training_id: str, index: int) -> RoundFacts:
    """A round's constants.

    Args:
        db: is read from only if this process has not seen the round; the caller holds no connection.
        training_id: the training.
        index: the round's number.

    Raises:
        TrainingMissing: there is no such training.
        WrongState: it has no rounds yet.
        WrongRound: it has not come to this one.
    """
    return _FACTS.get((training_id, index), lambda: _read_facts(db, training_id, index))


def _read_facts(db: Database, training_id: str, index: int) -> RoundFacts:
    with db.looking() as c:
        rows = _OPEN.rows(c, {"training": training_id, "round": index, "before": index - 1})
    if not rows:
        raise TrainingMissing(training_id)
    found = rows[0]
    before = found[-len(_APPLIED_COLUMNS) :]
    if before[0] is not None:  # whoever asks for a round's work is told of the round before
        _APPLIED.put((training_id, index - 1), _applied(before))
    where = f"round {index} of training {training_id}"
    if found.roster_digest is None:
        raise WrongState(where, expected="a running training", got=found.state)
    if found.query_digest is None:
        raise WrongRound(where, expected=f"round {found.present}", got=f"round {index}")
    plan, roster = terms_of(db, training_id, found.plan_digest, found.roster_digest)
    return RoundFacts(
        training=training_id,
        index=index,
        query=found.query_digest,
        history=found.history,
        plan=plan,
        roster=roster,
        bodies=bodies_for(training_id, plan, roster, found, index),
    )


_APPLIED: LRUCache[AppliedRound] = LRUCache(8)
_READ_APPLIED = select(*(getattr(Round, name) for name in _APPLIED_COLUMNS)).where(
    Round.training == bindparam("training"),
    Round.index == bindparam("round"),
    Round.state == RoundState.APPLIED.value,
)


def applied_round(db: Database, training_id: str, index: int) -> AppliedRound | None:
    """An applied round as the banks read it; None if it is not applied. It never changes: read once a process."""
    if index < 0:
        return None

    def read() -> AppliedRound:
        with db.looking() as c:
            row = c.execute(_READ_APPLIED, {"training": training_id, "round": index}).one_or_none()
        if row is None:
            raise LookupError
        return _applied(row)

    try:
        return _APPLIED.get((training_id, index), read)
    except LookupError:
        return None


def _applied(columns: Sequence[Any]) -> AppliedRound:
    index, contributors, query, digest, size, inline = columns
    return AppliedRound(
        round=index,
        contributors=tuple(contributors or ()),
        query=query,
        digest=digest or "",
        size_bytes=size or 0,
        aggregate=None if inline is None else base64.b64encode(inline).decode(),
    )


_CONTRIBUTORS: LRUCache[tuple[str, ...]] = LRUCache(256)
_FIXED = select(Round.contributors).where(Round.training == bindparam("training"), Round.index == bindparam("round"))


def fixed_contributors(db: Database, facts: RoundFacts) -> tuple[str, ...]:
    """The round's contributor set U, which never changes once it is fixed; empty before."""
    found = _CONTRIBUTORS.peek((facts.training, facts.index))
    if found is not None:
        return found
    with db.looking() as c:
        fixed = tuple(c.scalar(_FIXED, {"training": facts.training, "round": facts.index}) or ())
    if fixed:
        remember_fixed(facts, fixed)
    return fixed


_STATEMENTS: LRUCache[tuple[SignedStatement, ...]] = LRUCache(64)
_SENT: LRUCache[SignedStatement] = LRUCache(256)
_SIGNED = (
    select(Contribution.node, Contribution.statement, Round.contributors)
    .join(Round, (Round.training == Contribution.training) & (Round.index == Contribution.round))
    .where(Contribution.training == bindparam("training"), Contribution.round == bindparam("round"))
    .order_by(Contribution.node)
)


def remember_sent(facts: RoundFacts, node: str, signed: SignedStatement) -> None:
    """Keeps what a contribution that was taken came with, for when the round is opened."""
    _SENT.put((facts.training, facts.index, node), signed)


def remember_fixed(facts: RoundFacts, contributors: Sequence[str]) -> None:
    """Keeps the contributor set, once it is fixed."""
    _CONTRIBUTORS.put((facts.training, facts.index), tuple(contributors))


def contributor_statements(db: Database, facts: RoundFacts) -> tuple[SignedStatement, ...]:
    """The signed statements of the fixed contributor set, in ascending order of node id; read once a process, and not
    at all if this process has taken all of them.
    """

    def read() -> tuple[SignedStatement, ...]:
        kept = [_SENT.peek((facts.training, facts.index, node)) for node in fixed_contributors(db, facts)]
        if kept and None not in kept:
            return tuple(signed for signed in kept if signed is not None)
        with db.looking() as c:
            found = c.execute(_SIGNED, {"training": facts.training, "round": facts.index}).all()
        fixed = (found[0].contributors if found else None) or ()
        return tuple(SignedStatement.model_validate_json(text) for node, text, _ in found if node in fixed)

    return _STATEMENTS.get((facts.training, facts.index), read)


_PIECES: LRUCache[tuple[int, ...]] = LRUCache(256)
_ASSIGNED = select(Assignment.pieces).where(
    Assignment.training == bindparam("training"),
    Assignment.round == bindparam("round"),
    Assignment.number == bindparam("number"),
    Assignment.node == bindparam("node"),
)


def remember_pieces(facts: RoundFacts, node: str, number: int, pieces: Sequence[int]) -> tuple[int, ...]:
    """Keeps the pieces of an assignment, which never change, for when its share comes."""
    kept = tuple(pieces)
    _PIECES.put((facts.training, facts.index, number, node), kept)
    return kept


def assigned_pieces(db: Database, facts: RoundFacts, node: str, number: int) -> tuple[int, ...]:
    """The pieces of an assignment; read once a process.

    Raises:
        WrongRound: there is none with this number for this node.
    """
    kept = _PIECES.peek((facts.training, facts.index, number, node))
    if kept is not None:
        return kept
    key = {"training": facts.training, "round": facts.index, "number": number, "node": node}
    with db.looking() as c:
        pieces = c.scalar(_ASSIGNED, key)
    if pieces is None:
        raise WrongRound(f"share {number} for {facts.where}", expected="an assignment of this bank", got="none")
    return remember_pieces(facts, node, number, pieces)
