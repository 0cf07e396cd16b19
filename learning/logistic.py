"""Logistic regression over secure sums: the coefficients of the pooled fit, by Newton's method (IRLS).

A fitting round's sum has the loss, its gradient and its Hessian at one point; `learning.newton` decides where the next
one is. Their bounds are tight although no value is clipped: over n standardised rows the squares of a column sum to n,
so by Cauchy and Schwarz no absolute sum of a column, and no sum of products of two, exceeds n times the largest weight.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learning.counting import resolution_of
from learning.errors import DidNotConverge
from learning.linear import LinearState, LinearTraining, array_of, counts_of, power_above, search_of
from learning.logistic_settings import LogisticSettings
from learning.newton import Local, advance, penalised, symmetric
from learning.query import Query
from learning.schema import Dataset

#: Of a sum of so many banks' contributions, each rounded by half the resolution, the rounding is below this times it.
_BANKS_ROUNDING = 64.0


class LogisticRegression(LinearTraining):
    """The algorithm; its result is a `LogisticModel`.

    Args:
        settings: from the plan.
    """

    def __init__(self, settings: LogisticSettings) -> None:
        super().__init__(settings, "logistic")
        self.settings = settings

    def fit_query(self, state: LinearState) -> Query:
        """Loss, gradient and the Hessian's upper triangle."""
        size = len(search_of(state).at)
        counts, frauds_weight = counts_of(state), max(1.0, self.settings.scale_pos_weight)
        # Columns have a mean square of 1 over unweighted rows: n times the largest weight. Where rows have weights of
        # their own, columns are divided by their reach: the sum of the weights. The factor 2 covers rounded moments.
        largest = counts.bound if self.settings.inputs.weight else power_above((counts.total_rows + 1) * frauds_weight)
        bound = 2.0 * largest
        public = {"step": search_of(state).rounds}
        return Query("logistic.newton", 1 + size + size * (size + 1) // 2, bound, resolution_of(bound), public)

    def fit_contribution(self, state: LinearState, query: Query, data: Dataset) -> NDArray[np.float64]:
        """One bank's sums over its rows."""
        del query
        beta, reach = search_of(state).at, array_of(state.column_reach)
        loss, gradient, hessian = 0.0, np.zeros(len(beta)), np.zeros((len(beta), len(beta)))
        for Z, y, w in self.blocks(state, data):
            margins = Z @ beta
            p = probability(margins)
            loss += float((w * (np.logaddexp(0.0, margins) - y * margins)).sum())
            S = Z / reach
            gradient += S.T @ (w * (p - y))
            hessian += S.T @ (S * (w * p * (1 - p))[:, None])
        upper = hessian[np.triu_indices(len(beta))]
        return np.concatenate([[loss / loss_reach(beta, reach)], gradient, upper])

    def apply_fit(self, state: LinearState, query: Query, sums: NDArray[np.float64]) -> LinearState:
        """The next point, or the end when the step to it is below the tolerance."""
        search, reach, C = search_of(state), array_of(state.column_reach), self.settings.C
        size = len(search.at)
        value_reach = C * loss_reach(search.at, reach)
        local = Local(
            value=float(sums[0]) * value_reach,
            gradient=C * sums[1 : 1 + size] * reach,
            hessian=C * symmetric(sums[1 + size :], size) * reach[:, None] * reach[None, :],
        )
        local = penalised(local, search.at, fit_intercept=self.settings.fit_intercept)
        rounding = max(_BANKS_ROUNDING * query.resolution * value_reach, 1e-10 * abs(local.value))
        search = advance(search, local, rounding)
        mean_loss = float(sums[0]) * value_reach / C / sum(counts_of(state).weight)
        state = replace(state, losses=(*state.losses, mean_loss))
        if search.moved < self.settings.tol:
            return replace(state, search=replace(search, best=search.at), phase="evaluate")
        if search.rounds >= self.settings.max_rounds:
            raise DidNotConverge("logistic", rounds=search.rounds, step=search.moved, tolerance=self.settings.tol)
        return replace(state, search=search)


def probability(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-margin)), without overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * margins))


def loss_reach(beta: NDArray[np.float64], reach: NDArray[np.float64]) -> float:
    """A public power of two above the rows' mean loss: that of a row is at most its absolute margin + log 2."""
    return power_above(math.fsum((np.abs(beta) * reach).tolist()) + 1.0)
