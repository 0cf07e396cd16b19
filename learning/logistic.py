"""Logistic regression over secure sums: the coefficients of the pooled fit, by Newton's method (IRLS).

    counts and coarse sketch ─► moments ─► Newton steps (gradient, Hessian, loss) ─► scores ─► model

The sketch gives every feature's centre and reach, both powers of two or grid points and public; the moments are
summed of values shifted by the centre and divided by the reach, so that bounds hold and little is lost to rounding.

A Newton round's sum has the loss, its gradient and its Hessian at one point; `learning.newton` decides where the next
one is. Their bounds are tight although no value is clipped: over n standardised rows the squares of a column sum to n,
so by Cauchy and Schwarz no absolute sum of a column, and no sum of products of two, exceeds n times the largest weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning import sketch
from learning.counting import COUNT_VALUES, Counts, resolution_of
from learning.errors import DidNotConverge
from learning.evaluation import SCORE_CELLS, evaluate, score_histogram
from learning.logistic_model import LogisticModel
from learning.logistic_settings import LogisticSettings
from learning.newton import Local, Search, advance, penalised, symmetric
from learning.query import LocalCache, Query
from learning.schema import CategoricalFeature, Dataset, Part
from learning.standardise import Design

#: Of a sum of so many banks' contributions, each rounded by half the resolution, the rounding is below this times it.
_BANKS_ROUNDING = 64.0

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
        phase: what the next sum is for.
        counts: rows and weights.
        reach: how far the features' values go, until the moments are known.
        design: how features become columns.
        column_reach: float64, shape (columns + 1,): powers of two by which the columns are divided in a Newton sum.
        search: of the coefficients; the last one is the intercept.
        scores: summed histograms of the final scores: validation, then test.
        rounds: done so far.
    """

    phase: Phase = "count"
    counts: Counts | None = None
    reach: Reach | None = None
    design: Design | None = None
    column_reach: NDArray[np.float64] | None = None
    search: Search | None = None
    scores: tuple[NDArray[np.int64], ...] = ()
    rounds: int = 0

    @property
    def progress(self) -> dict[str, float]:
        """Rounds done and the last step's size."""
        found: dict[str, float] = {"rounds_expected": max(12, self.rounds + 2) if self.phase != "done" else self.rounds}
        if self.search is not None and self.search.rounds:
            found["step"] = self.search.moved
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
                size = len(_search(state).at)
                bound = self._newton_bound(state)
                public = {"step": _search(state).rounds}
                return Query("logistic.newton", 1 + size + size * (size + 1) // 2, bound, resolution_of(bound), public)
            case "evaluate":
                return Query("logistic.scores", 4 * SCORE_CELLS, _counts(state).bound, 1.0)
            case _:
                return None

    def _newton_bound(self, state: LogisticState) -> float:
        """Above n times the largest weight; the factor 2 covers what rounding leaves of the moments."""
        largest = 1.0 if self.settings.inputs.weight else max(1.0, self.settings.scale_pos_weight)
        return 2.0 * _power_above(_counts(state).bound * largest)

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
                beta = _array(_search(state).best)
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
        beta, reach = _search(state).at, _array(state.column_reach)
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
                return self._apply_newton(state, query, aggregate)
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
        start = np.zeros(len(design.columns) + 1)
        if self.settings.fit_intercept:
            rate = _counts(state).rate
            # Logarithms differ in their last bit between C libraries; all banks must begin at the same point.
            start[-1] = round(math.log(rate / (1 - rate)) * 2.0**20) / 2.0**20
        return replace(
            state, design=design, column_reach=self._column_reach(design, mean, deviation), search=Search(start),
            reach=None, phase="newton",
        )  # fmt: skip

    def _column_reach(
        self, design: Design, mean: NDArray[np.float64], deviation: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Ones, unless rows have weights of their own: then powers of two above every column's absolute values."""
        if self.settings.inputs.weight is None:
            return np.ones(len(design.columns) + 1)
        columns: list[float] = []
        for k, feature in enumerate(self.settings.inputs.features):
            if isinstance(feature, CategoricalFeature):
                columns += [1.0] * (len(feature.levels) - 1)
            else:
                columns.append(_power_above(float((1.0 + abs(mean[k])) / deviation[k])))
            columns += [1.0] * int(design.has_missing[k])
        return np.array([*columns, 1.0])

    def _apply_newton(self, state: LogisticState, query: Query, sums: NDArray[np.float64]) -> LogisticState:
        search, reach, C = _search(state), _array(state.column_reach), self.settings.C
        size = len(search.at)
        loss_reach = C * _loss_reach(search.at, reach)
        local = Local(
            value=float(sums[0]) * loss_reach,
            gradient=C * sums[1 : 1 + size] * reach,
            hessian=C * symmetric(sums[1 + size :], size) * reach[:, None] * reach[None, :],
        )
        local = penalised(local, search.at, fit_intercept=self.settings.fit_intercept)
        rounding = max(_BANKS_ROUNDING * query.resolution * loss_reach, 1e-10 * abs(local.value))
        search = advance(search, local, rounding)
        if search.moved < self.settings.tol:
            return replace(state, search=replace(search, best=search.at), phase="evaluate")
        if search.rounds >= self.settings.max_rounds:
            raise DidNotConverge("logistic", rounds=search.rounds, step=search.moved, tolerance=self.settings.tol)
        return replace(state, search=search)

    def result(self, state: LogisticState) -> LogisticModel:
        """The model."""
        evaluation: dict[str, Any] = {"newton_rounds": _search(state).rounds}
        for name, scores in zip(("validation", "test"), state.scores, strict=True):
            if scores.sum():
                found = evaluate(scores).to_dict()
                evaluation |= {
                    f"{name}_{key}": None if isinstance(value, float) and math.isnan(value) else value
                    for key, value in found.items()
                }
        best = _array(_search(state).best)
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
    """A public power of two above the rows' mean loss: that of a row is at most its absolute margin + log 2."""
    return _power_above(math.fsum((np.abs(beta) * reach).tolist()) + 1.0)


def _counts(state: LogisticState) -> Counts:
    assert state.counts is not None
    return state.counts


def _search(state: LogisticState) -> Search:
    assert state.search is not None
    return state.search


def _array(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert values is not None
    return values
