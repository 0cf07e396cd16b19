"""Gradient-boosted trees over secure sums: the trees that stock XGBoost would grow on the pooled rows.

    counts and coarse sketch ─► fine sketch ─► for every tree: one sum a level ─► scores ─► model

A level's sum has the histograms of gradients of the smaller child of every node that was split; the sibling's is the
parent's less that. A tree of depth d takes d sums: the last splits' own sums give the leaves. Where the training may
stop early, the scores of the validation rows after the last tree travel with the next tree's root.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning import sketch
from learning.binning import Bins
from learning.counting import COUNT_VALUES, Counts, count_bound, require_within, resolution_of
from learning.evaluation import SCORE_CELLS, average_precision, evaluate, part_score_histogram
from learning.gbdt_model import GbdtModel
from learning.gbdt_settings import GbdtSettings
from learning.grower import Growing, grow_level, plant
from learning.histogram import logistic_gradients, node_histograms, room_for_gradients
from learning.limits import MAX_BINS
from learning.query import LocalCache, Query
from learning.row_slices import row_slices
from learning.schema import BooleanFeature, CategoricalFeature, Dataset, Part
from learning.tree import Tree

#: Fine cells a feature has for each bin: edges are off by about 1/8 of a bin, and by 1/2 at most.
_CELLS_A_BIN = 8
_ALL = slice(None)

Phase = Literal["count", "refine", "grow", "evaluate", "done"]


@dataclass(frozen=True, eq=False)
class GbdtState:
    """Where the training stands. Everything in it is public.

    Attributes:
        phase: what the next sum is for.
        counts: rows and weights.
        grids: fine cells of the features that need a sketch.
        passes: sums that the sketch has taken.
        bins: the public bins.
        base_margin: log-odds before the first tree.
        trees: finished ones.
        growing: the tree that is being grown.
        validation: AP on the validation rows after each tree.
        scores: summed histograms of the final scores: validation, then test.
    """

    phase: Phase = "count"
    counts: Counts | None = None
    grids: tuple[sketch.Grid, ...] = ()
    passes: int = 0
    bins: Bins | None = None
    base_margin: float = 0.0
    trees: tuple[Tree, ...] = ()
    growing: Growing | None = None
    validation: tuple[float, ...] = ()
    scores: tuple[NDArray[np.int64], ...] = ()
    rounds: int = 0
    expected: int = 0

    @property
    def progress(self) -> dict[str, float]:
        """Rounds and trees done, and the metric so far."""
        found: dict[str, float] = {"trees": len(self.trees)}
        if self.expected:
            found["rounds_expected"] = self.expected
        if self.validation:
            found["validation_ap"] = self.validation[-1]
        return found


class GradientBoosting:
    """The algorithm; its result is a `GbdtModel`.

    Args:
        settings: from the plan.
    """

    def __init__(self, settings: GbdtSettings) -> None:
        self.settings = settings
        features = settings.inputs.features
        self._sketched = [
            k for k, feature in enumerate(features) if not isinstance(feature, CategoricalFeature | BooleanFeature)
        ]
        self._value_bins = min(settings.max_bin, MAX_BINS - 1)

    def start(self) -> GbdtState:
        """Nothing is known yet."""
        return GbdtState()

    # ---- what is summed ----

    def next_query(self, state: GbdtState) -> Query | None:
        """The next sum, or None when the model is done."""
        match state.phase:
            case "count":
                length = COUNT_VALUES + len(self._sketched) * (sketch.COARSE_CELLS + 1)
                bound = count_bound(self.settings.max_rows, self.settings.scale_pos_weight)
                return Query("gbdt.count", length, bound, resolution_of(bound))
            case "refine":
                cells = sum(grid.cells for grid in state.grids)
                return Query("gbdt.refine", cells, _counts(state).bound, 1.0)
            case "grow":
                return self._level_query(state)
            case "evaluate":
                return Query("gbdt.scores", 4 * SCORE_CELLS, _counts(state).bound, 1.0)
            case _:
                return None

    def _level_query(self, state: GbdtState) -> Query:
        growing, counts = _growing(state), _counts(state)
        length = len(growing.asked) * growing.width * 2
        if self._validates(state):
            length += 2 * SCORE_CELLS
        public = {"tree": len(state.trees), "level": growing.level, "nodes": list(growing.asked)}
        return Query("gbdt.histogram", length, counts.bound, resolution_of(counts.bound), public)

    def _validates(self, state: GbdtState) -> bool:
        """Whether the scores after the last tree travel with this sum."""
        return (
            self.settings.early_stopping_rounds is not None
            and bool(state.trees)
            and _growing(state).level == 0
            and len(state.validation) < len(state.trees)
        )

    # ---- a bank's part ----

    def contribution(self, state: GbdtState, query: Query, data: Dataset, cache: LocalCache) -> NDArray[np.float64]:
        """One bank's part of the sum."""
        match state.phase:
            case "count":
                weights = self._weights(data)
                require_within(data, weights, query.bound, self.settings.inputs.weight)
                coarse = self._counted(data, [sketch.coarse_counts] * len(self._sketched))
                return np.concatenate([Counts.of(data, weights), *coarse]).astype(np.float64)
            case "refine":
                fine = self._counted(data, [grid.counts for grid in state.grids])
                return np.concatenate(fine).astype(np.float64)
            case "grow":
                return self._histograms(state, query, data, cache)
            case _:
                margins = self._follow(state, data, cache)["margins"]
                parts = (Part.VALIDATION, Part.TEST)
                scores = [part_score_histogram(margins, data.y, data.part, part).ravel() for part in parts]
                return np.concatenate(scores).astype(np.float64)

    def _counted(
        self, data: Dataset, counters: Sequence[Callable[[NDArray[np.float32]], NDArray[np.int64]]]
    ) -> list[NDArray[np.int64]]:  # fmt: skip
        """What the counters, one a sketched column, count in the training rows."""
        found: list[Any] = [0] * len(counters)
        for some in row_slices(data.rows):
            train = data.part[some] == Part.TRAIN
            for place, (k, count) in enumerate(zip(self._sketched, counters, strict=True)):
                found[place] += count(data.X[some][train, k])
        return found

    def _weights(self, data: Dataset, some: slice = _ALL) -> NDArray[np.float32]:
        frauds = data.y[some] == 1
        if data.weight is None and self.settings.scale_pos_weight == 1.0:
            return np.broadcast_to(np.float32(1), len(frauds))  # takes no memory
        weight = np.ones(len(frauds), dtype=np.float32) if data.weight is None else data.weight[some].astype(np.float32)
        weight[frauds] *= np.float32(self.settings.scale_pos_weight)
        return weight

    def _gradients(
        self, margins: NDArray[np.float64], data: Dataset, resolution: float
    ) -> NDArray[np.signedinteger[Any]]:  # fmt: skip
        largest = max(float(self._weights(data, some).max(initial=0.0)) for some in row_slices(data.rows))
        out = room_for_gradients(data.rows, largest, resolution)
        for some in row_slices(data.rows):
            logistic_gradients(margins[some], data.y[some], self._weights(data, some), 1.0 / resolution, out[some])
        return out

    def _histograms(
        self, state: GbdtState, query: Query, data: Dataset, cache: LocalCache
    ) -> NDArray[np.float64]:  # fmt: skip
        growing = _growing(state)
        mine = self._follow(state, data, cache)
        if mine.get("tree") != len(state.trees):
            # The last tree's go before this one's come, and what sampling needs is gone before the gradients are there.
            mine.pop("node", None)
            mine.pop("gradients", None)
            # Sixteen bits: a tree of depth 12, the deepest, has 8,191 nodes.
            mine["node"] = np.where(self._sampled(len(state.trees), data), np.int16(0), np.int16(-1))
            mine["gradients"] = self._gradients(mine["margins"], data, query.resolution)
            mine["tree"], mine["level"] = len(state.trees), 0
        while mine["level"] < growing.level:
            growing.tree().step(mine["node"], mine["binned"], _bins(state))
            mine["level"] += 1
        slot_of = np.full(growing.nodes + 1, len(growing.asked), dtype=np.int32)
        slot_of[list(growing.asked)] = np.arange(len(growing.asked))
        sums = node_histograms(
            mine["binned"], mine["gradients"], mine["node"], slot_of, len(growing.asked), growing.columns,
            growing.offsets, growing.width,
        )  # fmt: skip
        vector = _as_reals(sums, query.resolution).ravel()
        if not self._validates(state):
            return vector
        scores = part_score_histogram(mine["margins"], data.y, data.part, Part.VALIDATION)
        return np.concatenate([vector, scores.ravel().astype(np.float64)])

    def _follow(self, state: GbdtState, data: Dataset, cache: LocalCache) -> LocalCache:
        """The bank's rows in bins, and their margins after the finished trees."""
        bins = _bins(state)
        # Stopping early drops trees that the kept margins already have in them.
        if cache.get("bins") is not bins or cache["trees"] > len(state.trees):
            cache.clear()
            cache.update(
                bins=bins, binned=bins.assign(data.X), trees=0, margins=np.full(data.rows, state.base_margin)
            )  # fmt: skip
        for tree in state.trees[cache["trees"] :]:
            tree.add_to(cache["margins"], cache["binned"], bins)
        cache["trees"] = len(state.trees)
        return cache

    def _sampled(self, tree: int, data: Dataset) -> NDArray[np.bool_]:
        """Which rows a tree sees: of the training rows, as many as the public seed takes."""
        train: NDArray[np.bool_] = np.asarray(data.part == Part.TRAIN)
        if self.settings.subsample == 1.0:
            return train
        uniform = _generator(self.settings.seed, "rows", tree).random(data.rows)
        return np.asarray(train & (uniform < self.settings.subsample))

    # ---- the public step ----

    def apply(self, state: GbdtState, query: Query, aggregate: NDArray[np.float64]) -> GbdtState:
        """The state after a sum."""
        state = replace(state, rounds=state.rounds + 1)
        match state.phase:
            case "count":
                return self._apply_counts(state, query, aggregate)
            case "refine":
                return self._apply_refined(state, np.rint(aggregate).astype(np.int64))
            case "grow":
                return self._apply_level(state, query, aggregate)
            case _:
                scores = np.rint(aggregate).astype(np.int64).reshape(2, 2, SCORE_CELLS)
                return replace(state, scores=(scores[0], scores[1]), phase="done")

    def _apply_counts(self, state: GbdtState, query: Query, aggregate: NDArray[np.float64]) -> GbdtState:
        counts = Counts.read(query.name, aggregate[:COUNT_VALUES])
        if self.settings.early_stopping_rounds is not None:
            counts.require_validation(query.name)
        coarse = np.rint(aggregate[COUNT_VALUES:]).astype(np.int64).reshape(-1, sketch.COARSE_CELLS + 1)
        grids = tuple(sketch.refine(row[:-1], _CELLS_A_BIN * self._value_bins) for row in coarse)
        rate = self.settings.base_score if self.settings.base_score is not None else counts.rate
        # XGBoost keeps the base score as a float32, and it must stay below 1.
        rate = min(float(np.float32(rate)), 1.0 - 2.0**-24)
        state = replace(
            state, counts=counts, grids=grids, base_margin=math.log(rate / (1 - rate)), phase="refine", passes=1,
            expected=3 + self.settings.trees * self.settings.max_depth,
        )  # fmt: skip
        return state if grids else self._plant(replace(state, bins=Bins.of(self.settings.inputs, self._edges(()))))

    def _edges(self, found: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        edges = [np.empty(0, dtype=np.float32)] * len(self.settings.inputs.features)
        for k, values in zip(self._sketched, found, strict=True):
            edges[k] = values
        return edges

    def _apply_refined(self, state: GbdtState, fine: NDArray[np.int64]) -> GbdtState:
        ends = np.cumsum([grid.cells for grid in state.grids])[:-1]
        counted = list(zip(state.grids, np.split(fine, ends), strict=True))
        sharper = tuple(sketch.sharpen(grid, counts, self._value_bins) for grid, counts in counted)
        passes = state.passes + 1
        if passes < sketch.PASSES and any(new is not old for new, old in zip(sharper, state.grids, strict=True)):
            return replace(state, grids=sharper, passes=passes)
        found = [sketch.quantile_edges(grid, counts, self._value_bins) for grid, counts in counted]
        bins = Bins.of(self.settings.inputs, self._edges(found))
        return self._plant(replace(state, bins=bins, grids=()))

    def _plant(self, state: GbdtState) -> GbdtState:
        """Begins the next tree, or ends the growing."""
        if len(state.trees) >= self.settings.trees:
            return replace(state, growing=None, phase="evaluate")
        growing = plant(_bins(state), self._columns(len(state.trees)), self.settings)
        return replace(state, growing=growing, phase="grow")

    def _columns(self, tree: int) -> NDArray[np.int64]:
        features = len(self.settings.inputs.features)
        wanted = max(1, round(self.settings.colsample_bytree * features))
        if wanted == features:
            return np.arange(features, dtype=np.int64)
        chosen = _generator(self.settings.seed, "columns", tree).choice(features, wanted, replace=False)
        return np.sort(chosen).astype(np.int64)

    def _apply_level(self, state: GbdtState, query: Query, aggregate: NDArray[np.float64]) -> GbdtState:
        growing = _growing(state)
        size = len(growing.asked) * growing.width * 2
        whole = aggregate[:size] / query.resolution
        sums = np.rint(whole, out=whole).astype(np.int64).reshape(-1, growing.width, 2)
        if self._validates(state):
            scores = np.rint(aggregate[size:]).astype(np.int64).reshape(2, SCORE_CELLS)
            ap = average_precision(scores)
            state = replace(state, validation=(*state.validation, 0.0 if math.isnan(ap) else ap))
            if self._stops(state.validation):
                best = int(np.argmax(state.validation)) + 1
                return replace(state, trees=state.trees[:best], growing=None, phase="evaluate")
        grown = grow_level(growing, sums, query.resolution, self.settings, _bins(state))
        if grown.asked:
            return replace(state, growing=grown)
        return self._plant(replace(state, trees=(*state.trees, grown.tree())))

    def _stops(self, validation: tuple[float, ...]) -> bool:
        patience = self.settings.early_stopping_rounds
        return patience is not None and len(validation) - 1 - int(np.argmax(validation)) >= patience

    def result(self, state: GbdtState) -> GbdtModel:
        """The model."""
        names = ("validation", "test")
        evaluation: dict[str, Any] = {}
        for name, scores in zip(names, state.scores, strict=True):
            if scores.sum():
                evaluation |= {f"{name}_{key}": _clean(value) for key, value in evaluate(scores).to_dict().items()}
        if state.validation:
            evaluation["validation_ap_by_tree"] = list(state.validation)
        return GbdtModel(
            inputs=self.settings.inputs, bins=_bins(state), base_margin=state.base_margin, trees=state.trees,
            settings=self.settings.model_dump(mode="json", exclude={"inputs"}), volumes=_counts(state).volumes(),
            evaluation=evaluation,
        )  # fmt: skip


def _as_reals(sums: NDArray[np.int64], unit: float) -> NDArray[np.float64]:
    """Sums in a unit as reals, in the same memory: node by node, each is read before it is written over."""
    reals = sums.view(np.float64)
    for real, whole in zip(reals, sums, strict=True):
        real[...] = whole * unit
    return reals


def _clean(value: Any) -> Any:
    """Not-a-number becomes null: JSON has none."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _counts(state: GbdtState) -> Counts:
    assert state.counts is not None
    return state.counts


def _bins(state: GbdtState) -> Bins:
    assert state.bins is not None
    return state.bins


def _growing(state: GbdtState) -> Growing:
    assert state.growing is not None
    return state.growing


def _generator(seed: int, purpose: str, tree: int) -> np.random.Generator:
    """Public randomness: the same for everyone who has the plan."""
    digest = hashlib.sha256(f"fraud-consortium/gbdt/{purpose}/{seed}/{tree}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
