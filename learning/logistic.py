"""Logistic regression over secure sums: the coefficients of the pooled fit, by Newton's method (IRLS).

    counts and coarse sketch ─► moments ─► Newton steps (gradient, Hessian, loss) ─► scores ─► model

The sketch gives every feature's centre and reach, both powers of two or grid points and public; the moments are
summed of values shifted by the centre and divided by the reach, so that bounds hold and little is lost to rounding. A
step's sum has the gradient, the Hessian and the loss at the same point: if the loss has risen the step is halved. Every
bank solves the same small system in IEEE doubles by the same elementary operations (Cholesky, in a fixed order), so
that all find the same step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning import sketch
from learning.cholesky import solve_positive
from learning.counting import COUNT_VALUES, Counts, resolution_of
from learning.errors import DidNotConverge
from learning.evaluation import SCORE_CELLS, evaluate, score_histogram
from learning.logistic_model import LogisticModel
from learning.logistic_settings import LogisticSettings
from learning.query import LocalCache, Query
from learning.schema import CategoricalFeature, Dataset, Part
from learning.standardise import Design

Phase = Literal["count", "moments", "newton", "evaluate", "done"]


@dataclass(frozen=True, eq=False)
class Reach:
    """How far a feature's values go, from the coarse sketch.

    Attributes:
        centre: float64, shape (f,): the cell that holds the median.
        reach: float64, shape (f,): a power of two, at least the distance of any value from the centre.
        has_missing: bool, shape (f,).
    """

    centre: NDArray[np.float64]
    reach: NDArray[np.float64]
    has_missing: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LogisticState:
    """Where the training stands. Everything in it is public.

    Attributes:
        beta: the coefficients at which the next sum is taken; the last entry is the intercept.
        best: those with the least objective so far, with it, and the step that led away from them.
        column_reach: float64, shape (columns + 1,): powers of two above every column's absolute values.
    """

    phase: Phase = "count"
    counts: Counts | None = None
    reach: Reach | None = None
    design: Design | None = None
    column_reach: NDArray[np.float64] | None = None
    beta: NDArray[np.float64] | None = None
    best: NDArray[np.float64] | None = None
    objective: float = math.inf
    step: NDArray[np.float64] | None = None
    steps: int = 0
    moved: float = math.inf
    scores: tuple[NDArray[np.int64], ...] = ()
    rounds: int = 0

    @property
    def progress(self) -> dict[str, float]:
        """Rounds done and the last step's size."""
        found: dict[str, float] = {"rounds_expected": max(12, self.rounds + 2) if self.phase != "done" else self.rounds}
        if math.isfinite(self.moved):
            found["step"] = self.moved
        return found


class LogisticRegression:
    """The algorithm; its result is a `LogisticModel`.

    Args:
        settings: from the plan.
    """

    def __init__(self, settings: LogisticSettings) -> None:
        self.settings = settings
        self._features = len(settings.inputs.features)
        self._categorical = np.array([isinstance(f, CategoricalFeature) for f in settings.inputs.features])

    def start(self) -> LogisticState:
        """Nothing is known yet."""
        return LogisticState()

    def next_query(self, state: LogisticState) -> Query | None:
        """The next sum, or None when the model is done."""
        match state.phase:
            case "count":
                length = COUNT_VALUES + self._features * (sketch.COARSE_CELLS + 1)
                bound = float(2 ** math.ceil(math.log2(self.settings.max_rows)))
                return Query("logistic.count", length, bound, resolution_of(bound))
            case "moments":
                bound = _counts(state).bound
                return Query("logistic.moments", 3 * self._features, bound, resolution_of(bound))
            case "newton":
                size = len(_array(state.beta))
                # The loss of one row is at most |margin| + log 2; it is divided by a public power of two above that.
                bound = _counts(state).bound
                public = {"step": state.steps}
                return Query("logistic.newton", 1 + size + size * (size + 1) // 2, bound, resolution_of(bound), public)
            case "evaluate":
                return Query("logistic.scores", 4 * SCORE_CELLS, _counts(state).bound, 1.0)
            case _:
                return None

    # ---- a bank's part ----

    def contribution(self, state: LogisticState, query: Query, data: Dataset, cache: LocalCache) -> NDArray[np.float64]:
        """One bank's part of the sum."""
        del query
        train = data.part == Part.TRAIN
        match state.phase:
            case "count":
                coarse = [sketch.coarse_counts(np.ascontiguousarray(data.X[train, k])) for k in range(self._features)]
                return np.concatenate([Counts.of(data, self._weights(data)), *coarse]).astype(np.float64)
            case "moments":
                return self._moments(state, data, train)
            case "newton":
                if "Z" not in cache:
                    Z = self._design(state).matrix(data.X[train])
                    cache["Z"] = np.column_stack([Z, np.ones(len(Z))])
                    cache["y"], cache["w"] = data.y[train].astype(np.float64), self._weights(data)[train]
                return self._newton(state, cache["Z"], cache["y"], cache["w"])
            case _:
                beta = _array(state.best)
                margins = self._design(state).matrix(data.X) @ beta[:-1] + beta[-1]
                parts = [data.part == part for part in (Part.VALIDATION, Part.TEST)]
                scores = [score_histogram(margins[chosen], data.y[chosen]).ravel() for chosen in parts]
                return np.concatenate(scores).astype(np.float64)

    def _weights(self, data: Dataset) -> NDArray[np.float64]:
        weight = np.ones(data.rows) if data.weight is None else data.weight.copy()
        weight[data.y == 1] *= self.settings.scale_pos_weight
        return weight

    def _moments(self, state: LogisticState, data: Dataset, train: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Count, sum and sum of squares by feature, of values shifted and divided: each at most 1."""
        reach = state.reach
        assert reach is not None
        values = data.X[train].astype(np.float64)
        there = ~np.isnan(values)
        scaled = np.where(there, (values - reach.centre) / reach.reach, 0.0)
        return np.concatenate([there.sum(axis=0), scaled.sum(axis=0), (scaled**2).sum(axis=0)]).astype(np.float64)

    def _newton(
        self, state: LogisticState, Z: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        beta, reach = _array(state.beta), _array(state.column_reach)
        margins = Z @ beta
        p = 1.0 / (1.0 + np.exp(-margins))
        loss = float((w * (np.logaddexp(0.0, margins) - y * margins)).sum())
        S = Z / reach
        gradient = S.T @ (w * (p - y))
        hessian = S.T @ (S * (w * p * (1 - p))[:, None])
        upper = hessian[np.triu_indices(len(beta))]
        return np.concatenate([[loss / _loss_reach(beta, reach)], gradient, upper])

    # ---- the public step ----

    def apply(self, state: LogisticState, query: Query, aggregate: NDArray[np.float64]) -> LogisticState:
        """The state after a sum."""
        state = replace(state, rounds=state.rounds + 1)
        match state.phase:
            case "count":
                counts = Counts.read(query.name, aggregate[:COUNT_VALUES])
                coarse = np.rint(aggregate[COUNT_VALUES:]).astype(np.int64).reshape(-1, sketch.COARSE_CELLS + 1)
                return replace(state, counts=counts, reach=_reach_of(coarse), phase="moments")
            case "moments":
                return self._apply_moments(state, aggregate)
            case "newton":
                return self._apply_newton(state, aggregate)
            case _:
                scores = np.rint(aggregate).astype(np.int64).reshape(2, 2, SCORE_CELLS)
                return replace(state, scores=(scores[0], scores[1]), phase="done")

    def _apply_moments(self, state: LogisticState, sums: NDArray[np.float64]) -> LogisticState:
        reach = state.reach
        assert reach is not None
        count, first, second = sums.reshape(3, -1)
        there = np.maximum(count, 1.0)
        mean = first / there
        variance = np.maximum(second / there - mean**2, 0.0)
        # Rounding leaves about 2^-44 of a constant feature's square; scikit-learn's scaler takes 1 for its deviation.
        deviation = np.where(variance <= 1e-12, 1.0 / reach.reach, np.sqrt(variance))
        keep = ~self._categorical
        centre = np.where(keep, reach.centre + reach.reach * mean, 0.0)
        scale = np.where(keep, reach.reach * deviation, 1.0)
        design = Design(self.settings.inputs, centre, scale, reach.has_missing)
        columns: list[float] = []
        for k, feature in enumerate(self.settings.inputs.features):
            if isinstance(feature, CategoricalFeature):
                columns += [1.0] * (len(feature.levels) - 1)
            else:
                columns.append(_power_above(float((1.0 + abs(mean[k])) / deviation[k])))
            columns += [1.0] * int(reach.has_missing[k])
        column_reach = np.array([*columns, 1.0])
        start = np.zeros(len(column_reach))
        if self.settings.fit_intercept:
            rate = _counts(state).rate
            start[-1] = math.log(rate / (1 - rate))
        return replace(state, design=design, column_reach=column_reach, beta=start, reach=None, phase="newton")

    def _apply_newton(self, state: LogisticState, sums: NDArray[np.float64]) -> LogisticState:
        beta, reach = _array(state.beta), _array(state.column_reach)
        size = len(beta)
        objective = self.settings.C * float(sums[0]) * _loss_reach(beta, reach) + float(beta[:-1] @ beta[:-1]) / 2
        steps = state.steps + 1
        # Rounding of the sums moves the objective by a few parts in 10^9.
        if objective > state.objective * (1 + 1e-9) + 1e-9 and state.step is not None and state.best is not None:
            step = state.step / 2
            state = replace(state, beta=state.best + step, step=step, steps=steps)
            return self._converged_or(state, float(np.abs(step).max()))
        gradient = self.settings.C * sums[1 : 1 + size] * reach
        hessian = np.zeros((size, size))
        hessian[np.triu_indices(size)] = sums[1 + size :]
        hessian = hessian + np.triu(hessian, 1).T
        hessian = self.settings.C * hessian * reach[:, None] * reach[None, :]
        penalty = np.ones(size)
        penalty[-1] = 0.0
        gradient = gradient + penalty * beta
        hessian[np.diag_indices(size)] += penalty
        if not self.settings.fit_intercept:
            gradient[-1] = 0.0
            hessian[-1, :] = hessian[:, -1] = 0.0
            hessian[-1, -1] = 1.0
        step = -solve_positive(hessian, gradient)
        state = replace(state, best=beta, objective=objective, beta=beta + step, step=step, steps=steps)
        return self._converged_or(state, float(np.abs(step).max()))

    def _converged_or(self, state: LogisticState, moved: float) -> LogisticState:
        state = replace(state, moved=moved)
        if moved < self.settings.tol:
            return replace(state, best=state.beta, phase="evaluate")
        if state.steps >= self.settings.max_rounds:
            raise DidNotConverge("logistic", rounds=state.steps, step=moved, tolerance=self.settings.tol)
        return state

    def result(self, state: LogisticState) -> LogisticModel:
        """The model."""
        evaluation: dict[str, Any] = {"newton_steps": state.steps}
        for name, scores in zip(("validation", "test"), state.scores, strict=True):
            if scores.sum():
                found = evaluate(scores).to_dict()
                evaluation |= {
                    f"{name}_{key}": None if isinstance(value, float) and math.isnan(value) else value
                    for key, value in found.items()
                }
        best = _array(state.best)
        return LogisticModel(
            design=self._design(state), coefficients=best[:-1], intercept=float(best[-1]),
            settings=self.settings.model_dump(mode="json", exclude={"inputs"}), volumes=_counts(state).volumes(),
            evaluation=evaluation,
        )  # fmt: skip

    def _design(self, state: LogisticState) -> Design:
        assert state.design is not None
        return state.design


def _reach_of(coarse: NDArray[np.int64]) -> Reach:
    features = len(coarse)
    centre, reach = np.zeros(features), np.ones(features)
    for k, row in enumerate(coarse[:, :-1]):
        occupied = np.flatnonzero(row)
        if not len(occupied):
            continue
        keys = np.array([occupied[0], occupied[-1], occupied[-1] + 1, _median_cell(row)], dtype=np.int64)
        keys <<= 32 - sketch.COARSE_BITS
        keys[2] -= 1
        low, _, high, middle = sketch.from_ordered(keys.astype(np.uint32)).astype(np.float64)
        centre[k] = middle
        reach[k] = _power_above(max(high - middle, middle - low, 1e-30))
    return Reach(centre, reach, coarse[:, -1] > 0)


def _median_cell(row: NDArray[np.int64]) -> int:
    return int(np.searchsorted(np.cumsum(row), row.sum() / 2))


def _power_above(value: float) -> float:
    return float(2.0 ** math.ceil(math.log2(value)))


def _loss_reach(beta: NDArray[np.float64], reach: NDArray[np.float64]) -> float:
    """A public power of two above the loss of any one row at these coefficients."""
    return _power_above(float(np.abs(beta) @ reach) + 1.0)


def _counts(state: LogisticState) -> Counts:
    assert state.counts is not None
    return state.counts


def _array(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert values is not None
    return values
