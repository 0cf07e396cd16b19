"""What never changes about a round once it is open: read once a process, so that a request need not."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from consortium.lru_cache import LRUCache
from consortium.rounds.protection import RoundBodies, bodies_of
from consortium.rounds.tables import Round
from consortium.trainings.errors import NotOnRoster, TrainingMissing, WrongRound, WrongState
from consortium.trainings.moves import plan_of, roster_of
from consortium.trainings.tables import Training
from protocol.plan import Plan
from protocol.roster import Roster


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


def fixed_contributors(s: Session, facts: RoundFacts) -> tuple[str, ...]:
    """The round's contributor set U, which never changes once it is fixed; empty before."""
    found = _CONTRIBUTORS.peek((facts.training, facts.index))
    if found is not None:
        return found
    fixed = tuple(s.scalar(select(Round.contributors).where(_this(facts))) or ())
    return _CONTRIBUTORS.get((facts.training, facts.index), lambda: fixed) if fixed else ()


def _this(facts: RoundFacts) -> ColumnElement[bool]:
    return and_(Round.training == facts.training, Round.index == facts.index)
