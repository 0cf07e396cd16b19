"""What never changes about a round once it is open: read once a process, so that a request need not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from consortium.lru_cache import LRUCache
from consortium.rounds.protection import RoundBodies, bodies_of
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.errors import NotOnRoster, TrainingMissing, WrongRound, WrongState
from consortium.trainings.moves import plan_of, roster_of
from consortium.trainings.tables import Training
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.statements import SignedStatement


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


def find_facts(s: Session, training_id: str, index: int) -> RoundFacts:
    """A round's constants.

    Raises:
        TrainingMissing: there is no such training.
        WrongState: it has no rounds yet.
        WrongRound: it has not come to this one.
    """
    return _FACTS.get((training_id, index), lambda: _read_facts(s, training_id, index))


def known_facts(training_id: str, index: int) -> RoundFacts | None:
    """A round's constants, if this process has read them before."""
    return _FACTS.peek((training_id, index))


def _read_facts(s: Session, training_id: str, index: int) -> RoundFacts:
    training = s.get(Training, training_id)
    if training is None:
        raise TrainingMissing(training_id)
    where = f"round {index} of training {training_id}"
    if training.roster_digest is None:
        raise WrongState(where, expected="a running training", got=training.state)
    row = s.get(Round, (training_id, index))
    if row is None:
        raise WrongRound(where, expected=f"round {training.round}", got=f"round {index}")
    plan = plan_of(training)
    return RoundFacts(
        training=training_id,
        index=index,
        query=row.query_digest,
        history=row.history,
        plan=plan,
        roster=roster_of(training),
        bodies=bodies_of(training, plan, row),
    )


_CONTRIBUTORS: LRUCache[tuple[str, ...]] = LRUCache(256)
# Built once: to build a statement costs about as much as to run it.
_FIXED = select(Round.contributors).where(Round.training == bindparam("training"), Round.index == bindparam("round"))


def fixed_contributors(s: Session, facts: RoundFacts) -> tuple[str, ...]:
    """The round's contributor set U, which never changes once it is fixed; empty before."""
    found = _CONTRIBUTORS.peek((facts.training, facts.index))
    if found is not None:
        return found
    fixed = tuple(s.scalar(_FIXED, {"training": facts.training, "round": facts.index}) or ())
    if fixed:
        _CONTRIBUTORS.put((facts.training, facts.index), fixed)
    return fixed


_STATEMENTS: LRUCache[tuple[SignedStatement, ...]] = LRUCache(64)
_SIGNED = (
    select(Contribution.node, Contribution.statement)
    .where(Contribution.training == bindparam("training"), Contribution.round == bindparam("round"))
    .order_by(Contribution.node)
)


def contributor_statements(s: Session, facts: RoundFacts) -> tuple[SignedStatement, ...]:
    """The signed statements of the fixed contributor set, in ascending order of node id; read once a process."""

    def read() -> tuple[SignedStatement, ...]:
        fixed = set(fixed_contributors(s, facts))
        found = s.execute(_SIGNED, {"training": facts.training, "round": facts.index})
        return tuple(SignedStatement.model_validate_json(text) for node, text in found if node in fixed)

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


def assigned_pieces(s: Session, facts: RoundFacts, node: str, number: int) -> tuple[int, ...]:
    """The pieces of an assignment; read once a process.

    Raises:
        WrongRound: there is none with this number for this node.
    """
    kept = _PIECES.peek((facts.training, facts.index, number, node))
    if kept is not None:
        return kept
    key = {"training": facts.training, "round": facts.index, "number": number, "node": node}
    pieces = s.scalar(_ASSIGNED, key)
    if pieces is None:
        raise WrongRound(f"share {number} for {facts.where}", expected="an assignment of this bank", got="none")
    return remember_pieces(facts, node, number, pieces)
