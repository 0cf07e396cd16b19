"""Grows one tree level by level from summed histograms; a public, pure step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.binning import Bins
from learning.gbdt_settings import GbdtSettings
from learning.splitting import Regularisation, best_splits, node_weight
from learning.tree import NO_CHILD, Tree

#: XGBoost takes no split whose gain is not above this (kRtEps).
_LEAST_GAIN = 1e-6


@dataclass(frozen=True, eq=False)
class Growing:
    """A tree on its way; arrays are by node and never changed in place.

    Attributes:
        columns: int64: the features that this tree sees.
        offsets: int64: where each of them begins in a histogram.
        width: bins of all of them.
        level: depth of the nodes that are asked for.
        asked: the nodes whose histograms the next sum has.
        frontier: the nodes that are decided on then: every asked node, and its sibling.
        sums: float64, shape (nodes, 2): gradients by node.
        bounds: float64, shape (nodes, 2): least and largest weight, from monotone parents.
        histograms: int64 by parent node, for the siblings that are not asked for.
        feature, split_bin, default_left, left, right, gain: as `Tree` has them.
        parent: int32.
    """

    columns: NDArray[np.int64]
    offsets: NDArray[np.int64]
    width: int
    settings: GbdtSettings
    level: int
    asked: tuple[int, ...]
    frontier: tuple[int, ...]
    sums: NDArray[np.float64]
    bounds: NDArray[np.float64]
    histograms: dict[int, NDArray[np.int64]]
    feature: NDArray[np.int32]
    split_bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    gain: NDArray[np.float32]
    parent: NDArray[np.int32]

    @property
    def nodes(self) -> int:
        """How many there are so far."""
        return len(self.feature)

    def tree(self) -> Tree:
        """The tree as it stands: nodes without children are leaves."""
        rule = regularisation(self.settings)
        weights = [
            node_weight(g, h, rule, low, high) for (g, h), (low, high) in zip(self.sums, self.bounds, strict=True)
        ]
        value = (np.array(weights) * self.settings.learning_rate).astype(np.float32)
        return Tree(
            feature=self.feature, split_bin=self.split_bin, default_left=self.default_left, left=self.left,
            right=self.right, value=value, gain=self.gain, cover=self.sums[:, 1].astype(np.float32),
        )  # fmt: skip


def regularisation(settings: GbdtSettings) -> Regularisation:
    """The settings in the form that the kernels take."""
    return Regularisation(
        settings.reg_lambda, settings.reg_alpha, settings.min_child_weight, settings.max_delta_step,
        bool(settings.monotone),
    )  # fmt: skip


def plant(bins: Bins, columns: NDArray[np.int64], settings: GbdtSettings) -> Growing:
    """A tree of nothing but its root."""
    offsets = np.concatenate([[0], np.cumsum(bins.sizes[columns])]).astype(np.int64)
    return Growing(
        columns=columns, offsets=offsets[:-1], width=int(offsets[-1]), settings=settings, level=0, asked=(0,),
        frontier=(0,), sums=np.zeros((1, 2)), bounds=np.array([[-np.inf, np.inf]]), histograms={},
        feature=np.zeros(1, dtype=np.int32), split_bin=np.zeros(1, dtype=np.int32),
        default_left=np.zeros(1, dtype=np.bool_), left=np.full(1, NO_CHILD, dtype=np.int32),
        right=np.full(1, NO_CHILD, dtype=np.int32), gain=np.zeros(1, dtype=np.float32),
        parent=np.full(1, NO_CHILD, dtype=np.int32),
    )  # fmt: skip


def grow_level(growing: Growing, sums: NDArray[np.int64], unit: float, settings: GbdtSettings, bins: Bins) -> Growing:
    """Decides on every node of the frontier.

    Args:
        growing: the tree so far.
        sums: int64, shape (asked nodes, width, 2), in units of `unit`.
        unit: the query's resolution.
        settings: the plan's.
        bins: the public bins.

    Returns:
        The tree with its new children; nothing is asked when no node can be split any more.
    """
    frontier = list(growing.frontier)
    whole = _complete(growing, sums)
    histograms = dict(zip(frontier, whole, strict=True))
    root_sums = growing.sums
    if growing.level == 0:
        first = slice(int(growing.offsets[0]), int(growing.offsets[0] + bins.sizes[growing.columns[0]]))
        root_sums = histograms[0][first].sum(axis=0, dtype=np.int64).astype(np.float64)[None, :] * unit
    growing = replace(growing, sums=root_sums)
    names = settings.inputs.names
    monotone = np.array([settings.monotone.get(names[k], 0) for k in growing.columns], dtype=np.int8)
    found = best_splits(
        whole, growing.offsets, bins.sizes[growing.columns],
        bins.categorical[growing.columns], monotone, growing.bounds[frontier], regularisation(settings), unit,
    )  # fmt: skip
    gain, candidate, split_bin, default_left, left_sums = found
    taken = [(place, node) for place, node in enumerate(frontier) if gain[place] > max(_LEAST_GAIN, settings.gamma)]
    grown = _Builder(growing)
    for place, node in taken:
        column = int(growing.columns[candidate[place]])
        grown.split(
            node, column, int(split_bin[place]), bool(default_left[place]), gain[place], left_sums[place],
            int(monotone[candidate[place]]), settings,
        )  # fmt: skip
    return grown.finish(histograms, settings)


def _complete(growing: Growing, sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """The histograms of the whole frontier in its order: those that were summed, the siblings' by subtraction."""
    if growing.frontier == growing.asked:
        return sums
    summed = dict(zip(growing.asked, sums, strict=True))
    found = np.empty((len(growing.frontier), *sums.shape[1:]), dtype=np.int64)
    for node, histogram in zip(growing.frontier, found, strict=True):
        if node in summed:
            histogram[...] = summed[node]
        else:
            parent = int(growing.parent[node])
            left, right = int(growing.left[parent]), int(growing.right[parent])
            np.subtract(growing.histograms[parent], summed[right if node == left else left], out=histogram)
    return found


class _Builder:
    """Adds children to a copy of the tree."""

    def __init__(self, growing: Growing) -> None:
        self._growing = growing
        self._feature = growing.feature.tolist()
        self._split_bin = growing.split_bin.tolist()
        self._default_left = growing.default_left.tolist()
        self._left, self._right = growing.left.tolist(), growing.right.tolist()
        self._gain, self._parent = growing.gain.tolist(), growing.parent.tolist()
        self._sums, self._bounds = growing.sums.tolist(), growing.bounds.tolist()
        self._split_nodes: list[int] = []

    def split(  # noqa: PLR0917  # the fields of one split
        self, node: int, column: int, split_bin: int, default_left: bool, gain: np.float32,
        left_sums: NDArray[np.float64], monotone: int, settings: GbdtSettings,
    ) -> None:  # fmt: skip
        """Splits a node: two children with their sums and bounds."""
        left = len(self._feature)
        self._feature[node], self._split_bin[node], self._default_left[node] = column, split_bin, default_left
        self._gain[node], self._left[node], self._right[node] = float(gain), left, left + 1
        g, h = self._sums[node]
        children = [(float(left_sums[0]), float(left_sums[1])), (g - float(left_sums[0]), h - float(left_sums[1]))]
        low, high = self._bounds[node]
        bounds = [[low, high], [low, high]]
        if monotone:
            rule = regularisation(settings)
            middle = sum(node_weight(*child, rule, low, high) for child in children) / 2
            bounds = [[low, middle], [middle, high]] if monotone > 0 else [[middle, high], [low, middle]]
        for child, limits in zip(children, bounds, strict=True):
            self._feature.append(0)
            self._split_bin.append(0)
            self._default_left.append(False)
            self._left.append(NO_CHILD)
            self._right.append(NO_CHILD)
            self._gain.append(0.0)
            self._parent.append(node)
            self._sums.append(list(child))
            self._bounds.append(limits)
        self._split_nodes.append(node)

    def finish(self, histograms: dict[int, NDArray[np.int64]], settings: GbdtSettings) -> Growing:
        """The next level: of every pair of children that may be split the one with less weight is asked for."""
        asked: list[int] = []
        frontier: list[int] = []
        kept: dict[int, NDArray[np.int64]] = {}
        level = self._growing.level + 1
        for parent in self._split_nodes if level < settings.max_depth else []:
            children = (self._left[parent], self._right[parent])
            may_split = [
                child for child in children if self._sums[child][1] >= 2 * max(settings.min_child_weight, 1e-16)
            ]
            if not may_split:
                continue
            smaller = min(children, key=lambda child: (self._sums[child][1], child))
            asked.append(smaller)
            frontier += may_split
            kept[parent] = histograms[parent]
        return replace(
            self._growing, level=level, asked=tuple(asked), frontier=tuple(frontier), histograms=kept,
            sums=np.array(self._sums), bounds=np.array(self._bounds),
            feature=np.array(self._feature, dtype=np.int32), split_bin=np.array(self._split_bin, dtype=np.int32),
            default_left=np.array(self._default_left, dtype=np.bool_), left=np.array(self._left, dtype=np.int32),
            right=np.array(self._right, dtype=np.int32), gain=np.array(self._gain, dtype=np.float32),
            parent=np.array(self._parent, dtype=np.int32),
        )  # fmt: skip
