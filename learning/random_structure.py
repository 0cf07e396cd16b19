"""Trees whose structure is drawn from a public seed: every bank, and everyone else, has them before any data is asked.

Totally random trees as in Fan, Wang, Yu and Ma, "Is random model better?" (ICDM 2003), and in Maddock, Cormode, Wang,
Maple and Jha, "Federated boosted decision trees with differential privacy" (CCS 2022), section 4.2. A node's feature is
drawn uniformly from those that its rows can still differ in, its threshold uniformly from the edges that are left
between its ancestors' thresholds, so that no leaf is empty by construction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learning.binning import Bins
from learning.schema import BooleanFeature, CategoricalFeature, Feature, NumericFeature, TimeFeature
from learning.tree import NO_CHILD, Tree

_TIME_RANGES = {"hour": (0.0, 24.0), "weekday": (0.0, 7.0), "weekend": (0.0, 2.0), "night": (0.0, 2.0)}


def declared_edges(features: Sequence[Feature], max_bin: int) -> list[NDArray[np.float32]]:
    """Edges that need no data: equal bins between a numeric feature's declared bounds, or in its part of time's range.

    Values below the lowest bin are in it, and values above the highest in that.

    Returns:
        float32 by feature, ascending; empty for categories and booleans, which bring their own.
    """
    return [_edges(feature, max_bin) for feature in features]


def _edges(feature: Feature, max_bin: int) -> NDArray[np.float32]:
    match feature:
        case NumericFeature():
            assert feature.low is not None
            assert feature.high is not None
            low, high, parts = feature.low, feature.high, max_bin
        case TimeFeature():
            low, high = _TIME_RANGES[feature.part]
            parts = min(max_bin, 24 if feature.part == "hour" else int(high))
        case CategoricalFeature() | BooleanFeature():
            return np.empty(0, dtype=np.float32)
    inner = np.linspace(low, high, parts + 1)[1:-1].astype(np.float32)
    return np.unique(inner[np.isfinite(inner)])


def random_tree(bins: Bins, max_depth: int, seed: int, number: int) -> Tree:
    """One tree, its leaves still 0.

    Args:
        bins: the public bins.
        max_depth: splits on the longest way to a leaf; a node that no feature can split any more is a leaf before.
        seed: the plan's.
        number: the tree's.
    """
    return _Drawing(bins, max_depth, seed, number).tree()


class _Drawing:
    """Draws a tree node by node, in the order of their numbers."""

    def __init__(self, bins: Bins, max_depth: int, seed: int, number: int) -> None:
        digest = hashlib.sha256(f"fraud-consortium/random-tree/{seed}/{number}".encode()).digest()
        self._random = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
        self._bins, self._max_depth = bins, max_depth
        self._feature, self._split_bin, self._default_left = [0], [0], [False]
        self._left, self._right = [NO_CHILD], [NO_CHILD]

    def tree(self) -> Tree:
        """The tree."""
        # The bins that can reach a node, by feature: bool of shape (all value and missing bins,).
        waiting = [(0, np.ones(self._bins.total, dtype=np.bool_), 0)]
        for node, there, depth in waiting:  # grows while it is gone through
            if depth < self._max_depth:
                waiting += [(child, left_there, depth + 1) for child, left_there in self._split(node, there)]
        nodes = len(self._feature)
        zeros = np.zeros(nodes, dtype=np.float32)
        return Tree(
            feature=np.array(self._feature, dtype=np.int32), split_bin=np.array(self._split_bin, dtype=np.int32),
            default_left=np.array(self._default_left, dtype=np.bool_), left=np.array(self._left, dtype=np.int32),
            right=np.array(self._right, dtype=np.int32), value=zeros, gain=zeros, cover=zeros,
        )  # fmt: skip

    def _split(self, node: int, there: NDArray[np.bool_]) -> list[tuple[int, NDArray[np.bool_]]]:
        """Splits a node; its two children and the bins that can reach them, or nothing."""
        bins = self._bins
        spans = [slice(int(bins.offsets[k]), int(bins.offsets[k + 1]) - 1) for k in range(len(bins.sizes))]
        open_features = [k for k, span in enumerate(spans) if int(there[span].sum()) > 1]
        if not open_features:
            return []
        k = open_features[int(self._random.integers(len(open_features)))]
        reachable = np.flatnonzero(there[spans[k]])
        # Numbers: the last bin that goes left is any but the last. Categories: any level may go right.
        choices = reachable if bins.categorical[k] else reachable[:-1]
        split_bin = int(choices[int(self._random.integers(len(choices)))])
        missing_left = bool(self._random.integers(2))
        places = np.arange(bins.sizes[k] - 1)
        goes_left = places != split_bin if bins.categorical[k] else places <= split_bin
        left, right = there.copy(), there.copy()
        left[spans[k]] &= goes_left
        right[spans[k]] &= ~goes_left
        missing = int(bins.offsets[k + 1]) - 1
        (right if missing_left else left)[missing] = False
        first = len(self._feature)
        self._feature[node], self._split_bin[node], self._default_left[node] = k, split_bin, missing_left
        self._left[node], self._right[node] = first, first + 1
        for _ in range(2):
            self._feature.append(0)
            self._split_bin.append(0)
            self._default_left.append(False)
            self._left.append(NO_CHILD)
            self._right.append(NO_CHILD)
        return [(first, left), (first + 1, right)]
