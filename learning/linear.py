"""What linear models have in common: counting, standardising and judging by secure sums. How they are fitted differs.

    counts and coarse sketch ─► moments ─► fitting rounds ─► scores ─► model

The sketch gives every feature's centre and reach, both powers of two or grid points and public; the moments are
summed of values shifted by the centre and divided by the reach, so that bounds hold and little is lost to rounding.
`learning.logistic` fits by Newton's method, `learning.fedavg` by averaging what banks have fitted alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning import sketch
from learning.counting import COUNT_VALUES, Counts, count_bound, require_within, resolution_of
from learning.evaluation import SCORE_CELLS, evaluate, score_histogram
from learning.logistic_model import LogisticModel
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.newton import Search
from learning.query import LocalCache, Query
from learning.schema import CategoricalFeature, Dataset, Part
from learning.standardise import Design

#: Rows that are turned into float64 columns at a time: bounds a bank's memory.
_ROWS_AT_ONCE = 16_384

Phase = Literal["count", "moments", "fit", "evaluate", "done"]


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
class LinearState:
    """Where the training stands. Everything in it is public.

    Attributes:
        phase: what the next sum is for.
        counts: rows and weights.
        reach: how far the features' values go, until the moments are known.
        design: how features become columns.
        column_reach: float64, shape (columns + 1,): powers of two by which the columns are divided before summing.
        search: of the coefficients; the last one is the intercept.
        losses: the training rows' mean loss before each fitting round.
        scores: summed histograms of the final scores: validation, then test.
        rounds: done so far.
    """

    phase: Phase = "count"
    counts: Counts | None = None
    reach: Reach | None = None
    design: Design | None = None
    column_reach: NDArray[np.float64] | None = None
    search: Search | None = None
    losses: tuple[float, ...] = ()
    scores: tuple[NDArray[np.int64], ...] = ()
    rounds: int = 0

    @property
    def progress(self) -> dict[str, float]:
        """Fitting rounds done, and the mean loss and the step's size so far."""
        found: dict[str, float] = {"rounds_expected": self.rounds if self.phase == "done" else max(12, self.rounds + 2)}
        if self.losses:
            found["loss"] = self.losses[-1]
        if self.search is not None and math.isfinite(self.search.moved):
            found["step"] = self.search.moved
        return found


class LinearTraining(ABC):
    """A linear model's training but for its fitting rounds; its result is a `LogisticModel`.

    Args:
        settings: from the plan.
        name: first part of the queries' names.
    """

    def __init__(self, settings: LogisticSettings | FedAvgSettings, name: str) -> None:
        self._inputs = settings.inputs
        self._settings = settings
        self._name = name
        self._features = len(settings.inputs.features)
        self._categorical = np.array([isinstance(f, CategoricalFeature) for f in settings.inputs.features])

    @abstractmethod
    def fit_query(self, state: LinearState) -> Query:
        """What a fitting round sums."""

    @abstractmethod
    def fit_contribution(self, state: LinearState, query: Query, data: Dataset) -> NDArray[np.float64]:
        """One bank's part of a fitting round."""

    @abstractmethod
    def apply_fit(self, state: LinearState, query: Query, sums: NDArray[np.float64]) -> LinearState:
        """The state after a fitting round; its phase is ``evaluate`` when the fit is done."""

    def start(self) -> LinearState:
        """Nothing is known yet."""
        return LinearState()

    def next_query(self, state: LinearState) -> Query | None:
        """The next sum, or None when the model is done."""
        match state.phase:
            case "count":
                length = COUNT_VALUES + self._features * (sketch.COARSE_CELLS + 1)
                bound = count_bound(self._settings.max_rows, self._settings.scale_pos_weight)
                return Query(f"{self._name}.count", length, bound, resolution_of(bound))
            case "moments":
                bound = counts_of(state).bound
                return Query(f"{self._name}.moments", 3 * self._features, bound, resolution_of(bound))
            case "fit":
                return self.fit_query(state)
            case "evaluate":
                return Query(f"{self._name}.scores", 4 * SCORE_CELLS, counts_of(state).bound, 1.0)
            case _:
                return None

    # ---- a bank's part ----

    def contribution(self, state: LinearState, query: Query, data: Dataset, cache: LocalCache) -> NDArray[np.float64]:
        """One bank's part of the sum."""
        del cache  # columns are made anew, some rows at a time: cheap beside what is computed of them, and small
        match state.phase:
            case "count":
                weights, train = self.weights(data), data.part == Part.TRAIN
                require_within(data, weights, query.bound, self._inputs.weight)
                coarse = [sketch.coarse_counts(np.ascontiguousarray(data.X[train, k])) for k in range(self._features)]
                return np.concatenate([Counts.of(data, weights), *coarse]).astype(np.float64)
            case "moments":
                return self._moments(state, data)
            case "fit":
                return self.fit_contribution(state, query, data)
            case _:
                return self._scores(state, data)

    def weights(self, data: Dataset) -> NDArray[np.float64]:
        """Row weights, class weights included: float64 of shape (n,)."""
        weight = np.ones(data.rows) if data.weight is None else data.weight.copy()
        weight[data.y == 1] *= self._settings.scale_pos_weight
        return weight

    def blocks(
        self, state: LinearState, data: Dataset
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
        """The training rows in blocks: columns with a last one of ones, labels, weights; all float64."""
        rows, weights = np.flatnonzero(data.part == Part.TRAIN), self.weights(data)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            Z = design_of(state).matrix(data.X[some])
            yield np.column_stack([Z, np.ones(len(Z))]), data.y[some].astype(np.float64), weights[some]

    def _moments(self, state: LinearState, data: Dataset) -> NDArray[np.float64]:
        """Count, sum and sum of squares by feature, of values shifted and divided: each at most 1."""
        assert state.reach is not None
        rows = np.flatnonzero(data.part == Part.TRAIN)
        sums = np.zeros((3, self._features))
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            values = data.X[rows[first : first + _ROWS_AT_ONCE]].astype(np.float64)
            there = ~np.isnan(values)
            scaled = np.where(there, (values - state.reach.centre) / state.reach.reach, 0.0)
            sums += np.stack([there.sum(axis=0), scaled.sum(axis=0), (scaled**2).sum(axis=0)])
        return sums.ravel()

    def _scores(self, state: LinearState, data: Dataset) -> NDArray[np.float64]:
        beta = array_of(search_of(state).best)
        found = np.zeros((2, 2, SCORE_CELLS))
        for place, part in enumerate((Part.VALIDATION, Part.TEST)):
            rows = np.flatnonzero(data.part == part)
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[first : first + _ROWS_AT_ONCE]
                margins = design_of(state).matrix(data.X[some]) @ beta[:-1] + beta[-1]
                found[place] += score_histogram(margins, data.y[some])
        return found.ravel()

    # ---- the public step ----

    def apply(self, state: LinearState, query: Query, aggregate: NDArray[np.float64]) -> LinearState:
        """The state after a sum."""
        state = replace(state, rounds=state.rounds + 1)
        match state.phase:
            case "count":
                counts = Counts.read(query.name, aggregate[:COUNT_VALUES])
                coarse = np.rint(aggregate[COUNT_VALUES:]).astype(np.int64).reshape(-1, sketch.COARSE_CELLS + 1)
                return replace(state, counts=counts, reach=_reach_of(coarse), phase="moments")
            case "moments":
                return self._apply_moments(state, aggregate)
            case "fit":
                return self.apply_fit(state, query, aggregate)
            case _:
                scores = np.rint(aggregate).astype(np.int64).reshape(2, 2, SCORE_CELLS)
                return replace(state, scores=(scores[0], scores[1]), phase="done")

    def _apply_moments(self, state: LinearState, sums: NDArray[np.float64]) -> LinearState:
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
        design = Design(self._settings.inputs, centre, scale, reach.has_missing)
        start = np.zeros(len(design.columns) + 1)
        if self._settings.fit_intercept:
            rate = counts_of(state).rate
            # Logarithms differ in their last bit between C libraries; all banks must begin at the same point.
            start[-1] = round(math.log(rate / (1 - rate)) * 2.0**20) / 2.0**20
        return replace(
            state, design=design, column_reach=self._column_reach(design, mean, deviation), search=Search(start),
            reach=None, phase="fit",
        )  # fmt: skip

    def _column_reach(
        self, design: Design, mean: NDArray[np.float64], deviation: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Ones, unless rows have weights of their own: then powers of two above every column's absolute values."""
        if self._settings.inputs.weight is None:
            return np.ones(len(design.columns) + 1)
        columns: list[float] = []
        for k, feature in enumerate(self._settings.inputs.features):
            if isinstance(feature, CategoricalFeature):
                columns += [1.0] * (len(feature.levels) - 1)
            else:
                columns.append(power_above(float((1.0 + abs(mean[k])) / deviation[k])))
            columns += [1.0] * int(design.has_missing[k])
        return np.array([*columns, 1.0])

    def result(self, state: LinearState) -> LogisticModel:
        """The model."""
        evaluation: dict[str, Any] = {"fitting_rounds": search_of(state).rounds, "loss_by_round": list(state.losses)}
        for name, scores in zip(("validation", "test"), state.scores, strict=True):
            if scores.sum():
                found = evaluate(scores).to_dict()
                evaluation |= {
                    f"{name}_{key}": None if isinstance(value, float) and math.isnan(value) else value
                    for key, value in found.items()
                }
        best = array_of(search_of(state).best)
        return LogisticModel(
            design=design_of(state), coefficients=best[:-1], intercept=float(best[-1]),
            settings=self._settings.model_dump(mode="json", exclude={"inputs"}), volumes=counts_of(state).volumes(),
            evaluation=evaluation,
        )  # fmt: skip


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
        reach[k] = power_above(max(high - middle, middle - low, 1e-30))
    return Reach(centre, reach, coarse[:, -1] > 0)


def _median_cell(row: NDArray[np.int64]) -> int:
    return int(np.searchsorted(np.cumsum(row), row.sum() / 2))


def power_above(value: float) -> float:
    """The least power of two that is not below a positive number."""
    return float(2.0 ** math.ceil(math.log2(value)))


def counts_of(state: LinearState) -> Counts:
    """The rows and weights, once they are known."""
    assert state.counts is not None
    return state.counts


def search_of(state: LinearState) -> Search:
    """Where the fit stands, once it has begun."""
    assert state.search is not None
    return state.search


def design_of(state: LinearState) -> Design:
    """How features become columns, once it is known."""
    assert state.design is not None
    return state.design


def array_of(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """An array that is there by now."""
    assert values is not None
    return values
