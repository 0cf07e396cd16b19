"""FedAvg and FedProx: banks train alone for some epochs, and their coefficients are averaged by a secure sum.

    common w ─► bank k: E epochs of gradient steps on its own rows ─► Δ_k = w_k − w ─► Σ n_k·Δ_k, Σ n_k ─► w + average

It is here because it is what peers do and what banks may want to compare with; Newton's method (`learning.logistic`)
needs fewer rounds and does not depend on how the rows are spread. FedAvg: McMahan, Moore, Ramage, Hampson and Agüera y
Arcas, AISTATS 2017, algorithm 1. FedProx: Li, Sahu, Zaheer, Sanjabi, Talwalkar and Smith, MLSys 2020, algorithm 2: the
local objective has ``mu / 2 · |w_k − w|²`` on top.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learning.counting import resolution_of
from learning.errors import AggregateImplausible
from learning.linear import LinearState, LinearTraining, counts_of, power_above, search_of
from learning.logistic import loss_reach, probability
from learning.logistic_settings import FedAvgSettings
from learning.query import Query
from learning.schema import Dataset


class FederatedAveraging(LinearTraining):
    """The algorithm; its result is a `LogisticModel`.

    Args:
        settings: from the plan.
    """

    def __init__(self, settings: FedAvgSettings) -> None:
        super().__init__(settings, "fedavg")
        self.settings = settings

    def fit_query(self, state: LinearState) -> Query:
        """Loss at the common coefficients, weight of the rows, weighted changes."""
        bound = power_above(counts_of(state).bound * max(1.0, self.settings.max_change))
        public = {"round": search_of(state).rounds}
        return Query("fedavg.average", 2 + len(search_of(state).at), bound, resolution_of(bound), public)

    def fit_contribution(self, state: LinearState, query: Query, data: Dataset) -> NDArray[np.float64]:
        """One bank's training: (mean loss's part, weight, weight · change)."""
        blocks = list(self.blocks(state, data))
        if not blocks:
            return np.zeros(query.length)
        Z, y, w = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        common = search_of(state).at
        margins = Z @ common
        loss = float((w * (np.logaddexp(0.0, margins) - y * margins)).sum())
        change = self._trained(state, Z, y, w) - common
        change = np.clip(change, -self.settings.max_change, self.settings.max_change)
        weight = w.sum()
        return np.concatenate([[loss / self._loss_reach(state, common), weight], weight * change])

    def _loss_reach(self, state: LinearState, common: NDArray[np.float64]) -> float:
        assert state.column_reach is not None
        return loss_reach(common, state.column_reach)

    def _trained(
        self, state: LinearState, Z: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The bank's own coefficients after its epochs."""
        plan, common = self.settings, search_of(state).at
        penalty = np.full(len(common), 1.0 / (plan.C * sum(counts_of(state).weight)))
        penalty[-1] = 0.0
        free = np.ones(len(common))
        free[-1] = float(plan.fit_intercept)
        mean_weight = w.mean()
        beta = common.copy()
        for epoch in range(plan.local_epochs):
            order = _generator(plan.seed, search_of(state).rounds, epoch).permutation(len(y))
            for first in range(0, len(y), plan.batch_size):
                some = order[first : first + plan.batch_size]
                residual = w[some] * (probability(Z[some] @ beta) - y[some])
                gradient = Z[some].T @ residual / (len(some) * mean_weight) + penalty * beta + plan.mu * (beta - common)
                beta -= plan.learning_rate * free * gradient
        return beta

    def apply_fit(self, state: LinearState, query: Query, sums: NDArray[np.float64]) -> LinearState:
        """The average, weighted by the rows of those who contributed."""
        search, weight = search_of(state), float(sums[1])
        if weight <= 0:
            raise AggregateImplausible(query.name, expected="rows at some bank", got=f"a weight of {weight:g}")
        loss = float(sums[0]) * self._loss_reach(state, search.at) / weight
        change = sums[2:] / weight
        average = search.at + change
        search = replace(search, at=average, best=average, direction=change, value=loss, rounds=search.rounds + 1)
        state = replace(state, search=search, losses=(*state.losses, loss))
        return replace(state, phase="evaluate") if search.rounds >= self.settings.rounds else state


def _generator(seed: int, number: int, epoch: int) -> np.random.Generator:
    """Public randomness; every bank orders its own rows by it."""
    digest = hashlib.sha256(f"fraud-consortium/fedavg/{seed}/{number}/{epoch}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
