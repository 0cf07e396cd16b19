"""The bank's own copy of a training's public state: the algorithm's state, the query of the next round, the history.

Nobody tells a bank what the model is. It derives the state from the aggregates, checks each against the digest that
the others sign for, and notices when the service tells it another past than it told before.
"""

from __future__ import annotations

import hashlib
from typing import Any, Generic, TypeVar

from bank_node.errors import LogForked, StaleWork
from learning.query import Algorithm, Query, from_fixed_point
from protocol.aggregate import decode_aggregate, value_bytes
from protocol.errors import AggregateMalformed
from protocol.history import contributors_digest, first_history, next_history
from protocol.ids import NodeId, TrainingId
from protocol.messages import AppliedRound
from protocol.plan import Plan
from protocol.roster import Roster

DataT = TypeVar("DataT")


class Learner(Generic[DataT]):
    """Follows a training round by round.

    Args:
        training: its id.
        plan: what was accepted.
        roster: what was pinned.
        deals: digest of the deals that this bank has signed for.
        algorithm: the plan's algorithm.
    """

    def __init__(
        self, training: TrainingId, plan: Plan, roster: Roster, deals: str, algorithm: Algorithm[Any, DataT, Any]
    ) -> None:
        self._training = training
        self._members = {NodeId(member.node) for member in roster.members}
        self._min_banks = plan.cohort.min_banks
        self._algorithm = algorithm
        self._state = algorithm.start()
        self._digests: list[tuple[str, str]] = []
        self.history = first_history(training, plan=plan.digest(), roster=roster.digest(), deals=deals)
        self.query: Query | None = None
        #: Its digest in hex; empty once there is no round left.
        self.query_digest = ""
        self._next_query()

    def _next_query(self) -> None:
        self.query = self._algorithm.next_query(self._state)
        self.query_digest = "" if self.query is None else self.query.digest().hex()

    @property
    def round(self) -> int:
        """The next round's number: how many were applied."""
        return len(self._digests)

    @property
    def state(self) -> Any:
        """The algorithm's state."""
        return self._state

    @property
    def aggregate_bytes(self) -> int:
        """How long the next round's aggregate is; 0 once there is no round left."""
        return 0 if self.query is None else self.query.length * value_bytes(self.query)

    def where(self, round_index: int) -> str:
        """For messages."""
        return f"round {round_index} of training {self._training}"

    def apply(self, applied: AppliedRound, aggregate: bytes, *, answered: str | None) -> None:
        """Applies the next round.

        1. it is the next one, and the query is the one that this bank derived
        2. its contributor set is on the roster, large enough, and the one that this bank answered for, if it did
        3. the bytes are those of the digest

        Args:
            applied: what the service says about the round.
            aggregate: the published bytes.
            answered: digest of the contributor set that this bank released a share for, if it did.

        Raises:
            LogForked: any of these does not hold.
        """
        where = self.where(applied.round)
        # (1)
        if applied.round != self.round or self.query is None:
            raise LogForked(where, expected=f"round {self.round}", got=f"round {applied.round}")
        if applied.query != self.query_digest:
            raise LogForked(where, expected="the query that this bank derived", got="another query's digest")
        # (2)
        contributors = {NodeId(node) for node in applied.contributors}
        if not contributors <= self._members or len(contributors) != len(applied.contributors):
            raise LogForked(where, expected="contributors on the roster, once each", got="others")
        if len(contributors) < self._min_banks:
            raise LogForked(where, expected=f"at least {self._min_banks} contributors", got=str(len(contributors)))
        named = contributors_digest(sorted(contributors))
        if answered is not None and answered != named:
            raise LogForked(where, expected="the contributor set that this bank answered for", got="another one")
        # (3)
        if hashlib.sha256(aggregate).hexdigest() != applied.digest:
            raise LogForked(where, expected="the aggregate of the digest", got="other bytes")
        try:
            total = decode_aggregate(self.query, aggregate)
        except AggregateMalformed as error:
            raise LogForked(where, expected=error.expected, got=error.got) from error
        self._state = self._algorithm.apply(self._state, self.query, from_fixed_point(self.query, total))
        self.history = next_history(
            self.history, applied.round, query=applied.query, contributors=named, aggregate=applied.digest
        )
        self._digests.append((applied.digest, named))
        self._next_query()

    def check_seen(self, applied: AppliedRound) -> None:
        """Compares what the service says about a past round with what was applied then.

        Raises:
            LogForked: it differs.
        """
        seen = self._digests[applied.round]
        if seen != (applied.digest, contributors_digest([NodeId(node) for node in applied.contributors])):
            raise LogForked(
                self.where(applied.round), expected="the round as this bank has applied it", got="another one"
            )

    def require_query(self, round_index: int, *, query: str, history: str | None = None) -> Query:
        """This round's query, once the service's word agrees with the bank's own.

        Raises:
            StaleWork: the round is over.
            LogForked: the query or the history differs.
        """
        where = self.where(round_index)
        if round_index < self.round:
            raise StaleWork(where, expected=f"round {self.round}", got="one that is over")
        if round_index > self.round or self.query is None:
            raise LogForked(where, expected=f"round {self.round}", got="a round that cannot be reached")
        if query != self.query_digest:
            raise LogForked(where, expected="the query that this bank derived", got="another query's digest")
        if history is not None and history != self.history:
            raise LogForked(where, expected="the history that this bank has seen", got="another one")
        return self.query

    def result(self) -> Any:
        """The model or table, once there is no query left.

        Raises:
            LogForked: there is: the service wants to end early.
        """
        if self.query is not None:
            raise LogForked(
                self.where(self.round), expected=f"a round for the query {self.query.name!r}", got="the end of rounds"
            )
        return self._algorithm.result(self._state)
