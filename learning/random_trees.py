"""Random trees over secure sums, with or without differential privacy of every record.

    counts ─► (sketch) ─► for every batch of trees: one sum of their leaves ─► (spread) ─► scores ─► model

"DP-TR" of Maddock, Cormode, Wang, Maple and Jha, "Federated boosted decision trees with differential privacy" (CCS
2022): the structure is drawn from the public seed and asks nothing of the data, so that the whole budget goes into the
leaves. All trees of a batch see the same gradients and are averaged.

Sensitivity. In a tree a record is in one leaf, to which it adds g = p − y and HESSIAN_SCALE·h with h = p·(1 − p). With
q = |p − y|, ``q**2 + c**2 (q (1 − q))**2 <= 1`` holds for all q in [0, 1] as long as
``c**2 <= min (1 + q) / (q**2 (1 − q))``, whose minimum is at q**2 + q = 1 and is the golden ratio to the fifth,
11.09. HESSIAN_SCALE = 13/4 (10.56) is below that: measuring second derivatives 3.25 times larger costs nothing and
gives them 3.25 times less noise. So one record changes a tree's sums by at most 1 in Euclidean norm, those of a batch
of B trees by sqrt(B), and rounding each record to the grid adds at most ``resolution / sqrt(2)`` a tree.

Leaves. A leaf's sums are G = −H·w + noise, with the noise's public variance and that of the rows' labels, which is H.
Its weight is the posterior mean under w ~ N(0, 1 / reg_lambda): ``−G·H / (H**2 + reg_lambda (H + sigma**2))``. Without
noise that is XGBoost's −G / (H + reg_lambda); a leaf that holds less than the noise hides goes to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from learning import sketch
from learning.binning import Bins
from learning.counting import Counts, resolution_of
from learning.errors import ContributionRejected
from learning.evaluation import SCORE_CELLS, evaluate, part_score_histogram
from learning.gbdt_model import GbdtModel
from learning.noise_plan import NoisePlan, noise_plan
from learning.noised_scores import SPREAD_CELLS, counts_between, cuts_of, spread_of, unfold
from learning.privacy import bank_noise
from learning.query import LocalCache, Query
from learning.random_structure import declared_edges, random_tree
from learning.random_trees_settings import RandomTreesSettings
from learning.row_slices import row_slices
from learning.schema import USED_PARTS, BooleanFeature, CategoricalFeature, Dataset, Part
from learning.tree import NO_CHILD, Tree

#: Second derivatives are summed this much larger; see the module's paragraph on sensitivity.
HESSIAN_SCALE = 3.25
#: A sketch's cell that holds less than so many standard deviations of the noise counts as empty.
_SIGNIFICANT = 3.0
_COUNTS = 2 * len(USED_PARTS)

Phase = Literal["count", "sketch", "leaves", "spread", "scores", "done"]


@dataclass(frozen=True, eq=False)
class RandomTreesState:
    """Where the training stands. Everything in it is public.

    Attributes:
        phase: what the next sum is for.
        counts: rows by part and label; noised ones are at least 0, and at least 1 in training.
        bins: the public bins.
        base_margin: log-odds before the first tree.
        trees: finished ones.
        batch: the trees whose leaves are asked for.
        cuts: where the scores are cut for an evaluation under noise.
        scores: summed histograms of the final scores: validation, then test.
    """

    phase: Phase = "count"
    counts: Counts | None = None
    bins: Bins | None = None
    base_margin: float = 0.0
    trees: tuple[Tree, ...] = ()
    batch: tuple[Tree, ...] = ()
    cuts: NDArray[np.int64] | None = None
    scores: tuple[NDArray[np.int64], ...] = ()
    rounds: int = 0
    expected: int = 0

    @property
    def progress(self) -> dict[str, float]:
        """Trees done, and the rounds that there will be."""
        return {"trees": len(self.trees), "rounds_expected": self.expected}


class RandomTrees:
    """The algorithm; its result is a `GbdtModel`.

    Args:
        settings: from the plan.
    """

    def __init__(self, settings: RandomTreesSettings) -> None:
        self.settings = settings
        self.noise: NoisePlan | None = noise_plan(settings)
        self._sketched = [
            k
            for k, feature in enumerate(settings.inputs.features)
            if not isinstance(feature, CategoricalFeature | BooleanFeature)
        ]
        self._has_sketch = settings.edges == "sketched" and bool(self._sketched)
        loudest = max(self._sigma(kind) for kind in ("count", "sketch", "leaves", "spread", "scores"))
        # 64 standard deviations: twelve of the sum's, when up to 28 times as many banks answer as must.
        self._bound = float(2 ** math.ceil(math.log2(settings.max_rows + 64 * loudest)))
        self._resolution = resolution_of(self._bound)

    def start(self) -> RandomTreesState:
        """Nothing is known yet."""
        judging = (1 if self.noise is None else 2) if self.settings.evaluate else 0
        rounds = 1 + self._has_sketch + self.settings.batches + judging
        return RandomTreesState(expected=rounds)

    def _sigma(self, kind: str) -> float:
        """Standard deviation of the noise in every entry of a sum; 0 without noise, or for a sum that is not asked."""
        if self.noise is None or not self.noise.shares[kind]:
            return 0.0
        return self.noise.sigma(kind, self._sensitivity(kind))

    def _sensitivity(self, kind: str) -> float:
        match kind:
            case "sketch":  # a record is in one cell of every feature
                return math.sqrt(len(self._sketched))
            case "leaves":  # the grid adds less than 2**-10 to each record's 1, whatever max_rows is
                trees = min(self.settings.trees, self.settings.trees_a_round)
                return math.sqrt(trees) * (1.0 + 2.0**-10)
            case _:  # a record is in one cell
                return 1.0

    # ---- what is summed ----

    def next_query(self, state: RandomTreesState) -> Query | None:
        """The next sum, or None when the model is done."""
        public: dict[str, Any] = {}
        match state.phase:
            case "count":
                length = _COUNTS
            case "sketch":
                length = len(self._sketched) * sketch.COARSE_CELLS
            case "leaves":
                length = 2 * sum(len(_leaves(tree)) for tree in state.batch)
                public = {"first_tree": len(state.trees), "trees": len(state.batch)}
            case "spread":
                length = SPREAD_CELLS
            case "scores":
                length = 4 * (SCORE_CELLS if state.cuts is None else len(state.cuts) - 1)
            case _:
                return None
        return Query(f"random_gbdt.{state.phase}", length, self._bound, self._resolution, public)

    # ---- a bank's part ----

    def contribution(
        self, state: RandomTreesState, query: Query, data: Dataset, cache: LocalCache
    ) -> NDArray[np.float64]:  # fmt: skip
        """One bank's part of the sum, its part of the noise included.

        Raises:
            ContributionRejected: the plan has noise and the data no source of randomness.
        """
        vector: NDArray[Any]
        match state.phase:
            case "count":
                vector = Counts.of(data, np.ones(data.rows))[:_COUNTS]
            case "sketch":
                train = data.part == Part.TRAIN
                columns = (np.ascontiguousarray(data.X[train, k]) for k in self._sketched)  # one at a time
                vector = np.concatenate([sketch.coarse_counts(column)[:-1] for column in columns])
            case "leaves":
                vector = self._leaf_sums(state, query, data, cache)
            case _:
                vector = self._scores(state, data, cache)
        return np.asarray(vector, dtype=np.float64) + self._own_noise(state.phase, query, data)

    def _own_noise(self, kind: str, query: Query, data: Dataset) -> NDArray[np.float64]:
        if self.noise is None:
            return np.zeros(query.length)
        if data.randbytes is None:
            raise ContributionRejected(query.name, expected="a source of randomness for the plan's noise", got="none")
        return bank_noise(self._sigma(kind), self.noise.banks, query.length, query.resolution, data.randbytes)

    def _leaf_sums(
        self, state: RandomTreesState, query: Query, data: Dataset, cache: LocalCache
    ) -> NDArray[np.float64]:  # fmt: skip
        mine = self._follow(state, data, cache)
        sums = [np.zeros((tree.nodes, 2)) for tree in state.batch]
        for some in row_slices(data.rows):
            train = data.part[some] == Part.TRAIN
            units = leaf_contributions(mine["margins"][some][train], data.y[some][train], query.resolution)
            binned = mine["binned"][some][train]
            for tree, by_node in zip(state.batch, sums, strict=True):
                node = tree.leaves_of(binned, _bins(state), self.settings.max_depth)
                for place, column in enumerate(units.T):  # whole numbers: their order does not matter
                    by_node[:, place] += np.bincount(node, weights=column, minlength=tree.nodes)
        at_leaves = [by_node[_leaves(tree)].ravel() for tree, by_node in zip(state.batch, sums, strict=True)]
        return np.asarray(np.concatenate(at_leaves) * query.resolution, dtype=np.float64)

    def _scores(self, state: RandomTreesState, data: Dataset, cache: LocalCache) -> NDArray[np.int64]:
        margins = self._follow(state, data, cache)["margins"]
        parts = (Part.VALIDATION, Part.TEST)
        scores = np.stack([part_score_histogram(margins, data.y, data.part, part) for part in parts])
        if state.phase == "spread":
            return spread_of(scores)
        return (scores if state.cuts is None else counts_between(scores, state.cuts)).ravel()

    def _follow(self, state: RandomTreesState, data: Dataset, cache: LocalCache) -> LocalCache:
        """The bank's rows in bins, and their margins after the finished trees."""
        bins = _bins(state)
        if cache.get("bins") is not bins:
            cache.clear()
            cache.update(
                bins=bins, binned=bins.assign(data.X), trees=0, margins=np.full(data.rows, state.base_margin)
            )  # fmt: skip
        for tree in state.trees[cache["trees"] :]:
            tree.add_to(cache["margins"], cache["binned"], bins)
        cache["trees"] = len(state.trees)
        return cache

    # ---- the public step ----

    def apply(self, state: RandomTreesState, query: Query, aggregate: NDArray[np.float64]) -> RandomTreesState:
        """The state after a sum."""
        state = replace(state, rounds=state.rounds + 1)
        match state.phase:
            case "count":
                return self._apply_counts(state, query, aggregate)
            case "sketch":
                return self._apply_sketch(state, aggregate)
            case "leaves":
                return self._plant(replace(state, trees=(*state.trees, *self._fill(state, aggregate)), batch=()))
            case "spread":
                cuts = cuts_of(aggregate, self._sigma("spread"), self._sigma("scores"))
                return replace(state, cuts=cuts, phase="scores")
            case _:
                counts = aggregate.reshape(2, 2, -1)
                scores = np.rint(counts).astype(np.int64) if state.cuts is None else unfold(counts, state.cuts)
                return replace(state, scores=(scores[0], scores[1]), phase="done")

    def _apply_counts(
        self, state: RandomTreesState, query: Query, aggregate: NDArray[np.float64]
    ) -> RandomTreesState:  # fmt: skip
        rows = np.rint(aggregate)
        if self.noise is not None:
            rows = np.maximum(rows, [1.0, 1.0, *[0.0] * (_COUNTS - 2)])
        counts = Counts.read(query.name, np.concatenate([rows, rows[:2]]))
        rate = self.settings.base_score if self.settings.base_score is not None else counts.rate
        # XGBoost keeps the base score as a float32.
        rate = float(np.float32(rate))
        state = replace(state, counts=counts, base_margin=math.log(rate / (1 - rate)))
        if self._has_sketch:
            return replace(state, phase="sketch")
        inputs = self.settings.inputs
        edges = [np.empty(0, dtype=np.float32)] * len(inputs.features)
        if self.settings.edges == "declared":
            edges = declared_edges(inputs.features, self.settings.max_bin)
        return self._plant(replace(state, bins=Bins.of(inputs, edges)))

    def _apply_sketch(self, state: RandomTreesState, aggregate: NDArray[np.float64]) -> RandomTreesState:
        counts = aggregate.reshape(-1, sketch.COARSE_CELLS)
        counts = np.where(counts < _SIGNIFICANT * self._sigma("sketch"), 0.0, counts)
        edges = [np.empty(0, dtype=np.float32)] * len(self.settings.inputs.features)
        for k, column in zip(self._sketched, np.rint(counts).astype(np.int64), strict=True):
            edges[k] = sketch.quantile_edges(sketch.COARSE_GRID, column, self.settings.max_bin)
        return self._plant(replace(state, bins=Bins.of(self.settings.inputs, edges)))

    def _plant(self, state: RandomTreesState) -> RandomTreesState:
        """Draws the next batch's structure, or ends the growing."""
        done, settings = len(state.trees), self.settings
        if done >= settings.trees:
            judging: Phase = "scores" if self.noise is None else "spread"
            return replace(state, phase=judging if settings.evaluate else "done")
        numbers = range(done, min(done + settings.trees_a_round, settings.trees))
        batch = tuple(random_tree(_bins(state), settings.max_depth, settings.seed, number) for number in numbers)
        return replace(state, batch=batch, phase="leaves")

    def _fill(self, state: RandomTreesState, aggregate: NDArray[np.float64]) -> list[Tree]:
        """The batch with its leaves' values."""
        rate = self.settings.learning_rate / len(state.batch)
        sigma, filled, start = self._sigma("leaves"), [], 0
        for tree in state.batch:
            leaves = _leaves(tree)
            g, h = aggregate[start : start + 2 * len(leaves)].reshape(-1, 2).T
            start += 2 * len(leaves)
            h = np.maximum(h / HESSIAN_SCALE, 0.0)
            value, cover = np.zeros(tree.nodes, dtype=np.float32), np.zeros(tree.nodes, dtype=np.float32)
            value[leaves] = rate * leaf_weights(g, h, self.settings.reg_lambda, sigma)
            cover[leaves] = h
            for node in np.flatnonzero(tree.left != NO_CHILD)[::-1]:  # children have larger numbers
                cover[node] = cover[tree.left[node]] + cover[tree.right[node]]
            filled.append(replace(tree, value=value, cover=cover))
        return filled

    def result(self, state: RandomTreesState) -> GbdtModel:
        """The model."""
        evaluation: dict[str, Any] = {}
        for name, scores in zip(("validation", "test"), state.scores, strict=False):  # none without evaluation
            if scores.sum():
                found = evaluate(scores).to_dict().items()
                evaluation |= {f"{name}_{key}": _clean(value) for key, value in found}
        if state.cuts is not None:  # how uncertain each group's count is, for whoever reads the figures
            evaluation["noise_sigma_of_counts"] = self._sigma("scores")
        assert state.counts is not None
        return GbdtModel(
            inputs=self.settings.inputs, bins=_bins(state), base_margin=state.base_margin, trees=state.trees,
            settings=self.settings.model_dump(mode="json", exclude={"inputs"}), volumes=state.counts.volumes(),
            evaluation=evaluation, privacy={} if self.noise is None else self.noise.to_dict(),
        )  # fmt: skip


def leaf_contributions(
    margins: NDArray[np.float64], y: NDArray[np.uint8], resolution: float
) -> NDArray[np.float64]:  # fmt: skip
    """What every record adds to its leaf, in whole units of the resolution: float64 of shape (n, 2).

    The norm of a row is at most ``1 / resolution + 1 / sqrt(2)`` (this module, sensitivity).

    Args:
        margins: float64, shape (n,), log-odds.
        y: uint8, shape (n,).
        resolution: of the query.

    Returns:
        p − y and HESSIAN_SCALE·p·(1 − p), rounded.
    """
    p = np.exp(-np.logaddexp(0.0, -margins))
    both = np.stack([p - y, HESSIAN_SCALE * p * (1.0 - p)], axis=1)
    return np.asarray(np.rint(both / resolution), dtype=np.float64)


def leaf_weights(
    g: NDArray[np.float64], h: NDArray[np.float64], reg_lambda: float, sigma: float
) -> NDArray[np.float64]:  # fmt: skip
    """Posterior means of leaf weights (this module, leaves): float64 of shape (n,).

    Args:
        g: float64, shape (n,), sums of first derivatives.
        h: float64, shape (n,), sums of second derivatives, at least 0.
        reg_lambda: positive; the inverse of the prior variance.
        sigma: standard deviation of the noise in g.
    """
    below = h * h + reg_lambda * (h + sigma * sigma)
    return np.divide(-g * h, below, out=np.zeros_like(g), where=below > 0)


def _leaves(tree: Tree) -> NDArray[np.int64]:
    return np.flatnonzero(tree.left == NO_CHILD)


def _bins(state: RandomTreesState) -> Bins:
    assert state.bins is not None
    return state.bins


def _clean(value: Any) -> Any:
    """Not-a-number becomes null: JSON has none."""
    return None if isinstance(value, float) and math.isnan(value) else value
