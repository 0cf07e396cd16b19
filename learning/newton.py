"""Newton's method with a line search, between secure sums: the public arithmetic of `learning.logistic`.

A round gives the objective, its gradient and its Hessian at one point. If the objective has fallen enough since the
best point, the point becomes the best and a full Newton step leads to the next; otherwise the step is shortened to
the minimum of the cubic through both points' values and slopes (Nocedal and Wright, Numerical Optimization, 2nd
edition, equation 3.59), which the sum has for nothing.

Everyone who replays a training must find the same bits. So there is nothing here but IEEE additions, products,
quotients and square roots in a fixed order, and `math.fsum`, which rounds once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.cholesky import solve_positive

#: A step must reach this part of the decrease that its slope promises (Nocedal and Wright, equation 3.4).
_SUFFICIENT = 1e-4
_SHORTEST, _LONGEST = 0.1, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """The objective at one point.

    Attributes:
        value: of the objective, penalty included.
        gradient: float64, shape (k,).
        hessian: float64, shape (k, k), symmetric.
    """

    value: float
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Where Newton's method stands.

    Attributes:
        at: float64, shape (k,): the point that the next round measures.
        best: the point with the least value so far; None before the first round.
        value: of the objective at `best`.
        direction: the Newton step at `best`.
        slope: of the objective at `best` along `direction`; negative.
        fraction: of the direction that leads from `best` to `at`.
        rounds: measured so far.
    """

    at: NDArray[np.float64]
    best: NDArray[np.float64] | None = None
    value: float = math.inf
    direction: NDArray[np.float64] | None = None
    slope: float = 0.0
    fraction: float = 1.0
    rounds: int = 0

    @property
    def moved(self) -> float:
        """The largest change of a coefficient from the best point to the next; infinite before the first round."""
        return math.inf if self.direction is None else float(np.abs(self.direction).max()) * self.fraction


def symmetric(upper: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The symmetric matrix whose upper triangle, row by row, is given: float64 of shape (size, size)."""
    matrix = np.zeros((size, size))
    matrix[np.triu_indices(size)] = upper
    return matrix + np.triu(matrix, 1).T


def penalised(local: Local, at: NDArray[np.float64], *, fit_intercept: bool) -> Local:
    """Adds half the squared length of all coefficients but the last, the intercept; without one, it is held at 0."""
    weights = at[:-1]
    gradient, hessian = local.gradient.copy(), local.hessian.copy()
    gradient[:-1] += weights
    hessian[np.arange(len(weights)), np.arange(len(weights))] += 1.0
    if not fit_intercept:
        gradient[-1] = 0.0
        hessian[-1, :] = hessian[:, -1] = 0.0
        hessian[-1, -1] = 1.0
    return Local(local.value + math.fsum((weights * weights).tolist()) / 2, gradient, hessian)


def advance(search: Search, local: Local, rounding: float) -> Search:
    """The search after a round.

    Args:
        search: before it.
        local: what the round measured at `search.at`, penalty included.
        rounding: how far the value may be off; a rise below it is none.
    """
    rounds = search.rounds + 1
    if search.best is not None and search.direction is not None:
        wanted = search.value + _SUFFICIENT * search.fraction * search.slope
        if local.value > wanted + rounding:
            fraction = search.fraction * _shortened(search, local)
            at = search.best + search.direction * fraction
            return Search(at, search.best, search.value, search.direction, search.slope, fraction, rounds)
    direction = -solve_positive(local.hessian, local.gradient)
    slope = math.fsum((local.gradient * direction).tolist())
    return Search(search.at + direction, search.at, local.value, direction, slope, 1.0, rounds)


def _shortened(search: Search, local: Local) -> float:
    """The cubic's minimum between both points, as a part of the step that went too far; within 0.1 to 0.5 of it."""
    assert search.direction is not None
    before = search.slope * search.fraction
    after = math.fsum((local.gradient * search.direction).tolist()) * search.fraction
    middle = before + after - 3.0 * (local.value - search.value)
    root = math.sqrt(max(middle * middle - before * after, 0.0))
    divisor = after - before + 2.0 * root
    if divisor <= 0.0:
        return _LONGEST
    return min(max(1.0 - (after + root - middle) / divisor, _SHORTEST), _LONGEST)
