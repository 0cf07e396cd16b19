"""A training whose rounds have begun, as this bank holds it in memory: keys, journal, learner, replayed from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bank_node.errors import ContributionLost, KeysLost, SecondContributorSet
from bank_node.learner import Learner
from bank_node.node import Node
from bank_node.protection import Protection
from bank_node.training_store import TrainingStore
from crypto import errors as crypto_errors
from crypto.member import AnswerRecord
from learning.query import Algorithm, LocalCache, Query
from protocol.history import contributors_digest
from protocol.ids import NodeId, TrainingId, uuid_bytes
from protocol.messages import AppliedRound
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.statements import Receipt, SignedStatement


def build_algorithm(learning: Mapping[str, Any]) -> Algorithm[Any, Any, Any]:
    """The algorithm of a plan's `learning` settings.

    Raises:
        SettingsRejected: the settings are not those of any algorithm; the field is named.
    """
    from learning import algorithms  # noqa: PLC0415  # pulls in pandas and Numba

    return algorithms.build(algorithms.settings_of(learning))


class Running:
    """One training's rounds.

    Args:
        plan: what was accepted.
        roster: what was pinned.
        learner: the algorithm's state.
        protection: the keys.
        journal: what this bank has answered.
        algorithm: the plan's.

    Attributes:
        sent: the contribution that this process has sent last, as this bank has signed it.
    """

    def __init__(
        self, *, plan: Plan, roster: Roster, learner: Learner[Any], protection: Protection, journal: AnswerRecord,
        algorithm: Algorithm[Any, Any, Any], store: TrainingStore,
    ) -> None:  # fmt: skip
        self.plan, self.roster, self.learner, self.protection = plan, roster, learner, protection
        self._journal, self._algorithm, self._store = journal, algorithm, store
        self._cache: LocalCache = {}
        self.sent: SignedStatement | None = None

    @classmethod
    def open(cls, node: Node, training: TrainingId, store: TrainingStore) -> Self:
        """Opens keys and journal, and replays the rounds that were applied.

        Raises:
            KeysLost: the ceremony was not finished on this node.
        """
        latest, plan = store.latest_attempt(), store.plan()
        attempt = None if latest is None else store.attempt(latest)
        roster = None if attempt is None else attempt.roster()
        receipt = None if attempt is None else attempt.receipt()
        if attempt is None or plan is None or roster is None or receipt is None:
            raise KeysLost(f"training {training}", expected="a finished key ceremony", got="none on this node")
        protection = Protection(node.vault, plan, roster, node.identity.node, attempt, threads=node.threads)
        algorithm = build_algorithm(plan.learning)
        learner: Learner[Any] = Learner(training, plan, roster, receipt.expect(Receipt).deals, algorithm)
        journal = AnswerRecord(store.journal_path)
        running = cls(
            plan=plan, roster=roster, learner=learner, protection=protection, journal=journal, algorithm=algorithm,
            store=store,
        )  # fmt: skip
        try:
            for applied, aggregate in store.applied.replay():
                learner.apply(applied, aggregate, answered=running._answered(applied.round))
        except BaseException:
            running.close()
            raise
        return running

    def close(self) -> None:
        """Overwrites the keys in memory, and lets the journal go."""
        self.protection.destroy()
        self._journal.close()

    def _answered(self, round_index: int) -> str | None:
        contributors = self._journal.contributors(round_index)
        if contributors is None:
            return None
        by_bytes = {uuid_bytes(member.node): NodeId(member.node) for member in self.roster.members}
        return contributors_digest(sorted(by_bytes[raw] for raw in contributors))

    def apply(self, applied: AppliedRound, aggregate: bytes) -> None:
        """Applies the next round, and keeps it.

        Raises:
            LogForked: it does not fit what this bank has seen.
        """
        self.learner.apply(applied, aggregate, answered=self._answered(applied.round))
        self._store.applied.append(applied, aggregate)

    def contribution(self, query: Query, data: Any) -> NDArray[np.float64]:
        """This bank's vector for the round's query, float64 of shape (query.length,)."""
        return self._algorithm.contribution(self.learner.state, query, data, self._cache)

    def has_contributed(self, round_index: int) -> bool:
        """Whether a contribution to the round was recorded."""
        return self._journal.contribution(round_index) is not None

    def record_contribution(self, round_index: int, digest: str) -> None:
        """Records the one contribution to a round, durably.

        Raises:
            ContributionLost: another one was recorded.
        """
        try:
            self._journal.record_contribution(round_index, bytes.fromhex(digest))
        except crypto_errors.SecondContribution as error:
            raise ContributionLost(
                self.learner.where(round_index), expected=error.expected, got=f"{error.got} in the outbox"
            ) from error

    def record_contributors(self, round_index: int, contributors: Sequence[NodeId]) -> None:
        """Records the one contributor set that this bank answers for in a round, durably.

        Raises:
            SecondContributorSet: it has answered for another.
        """
        try:
            self._journal.record_contributors(round_index, [uuid_bytes(node) for node in contributors])
        except crypto_errors.SecondContributorSet as error:
            raise SecondContributorSet(
                self.learner.where(round_index), expected=error.expected, got=error.got, advice=error.advice
            ) from error
