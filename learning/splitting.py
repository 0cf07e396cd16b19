"""The best split of a node from its histogram: XGBoost's objective, order of candidates and rounding.

Chen and Guestrin, "XGBoost" (KDD 2016), eq. 6 and 7, in the form of XGBoost's `hist` method: candidates are taken by
feature, then with missing values to the right from the lowest bin up, then with missing values to the left from the
highest bin down; a candidate replaces the best one only if its gain is larger as a float32. Everything is a function of
integers and public settings in IEEE doubles, without reordering: every bank and the service find the same split.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

jit: Any = nb.njit(nogil=True, cache=True, boundscheck=False)
inline: Any = nb.njit(nogil=True, cache=True, boundscheck=False, inline="always")


class Regularisation(NamedTuple):
    """XGBoost's parameters of the same names.

    Attributes:
        reg_lambda: L2 on leaf weights.
        reg_alpha: L1 on leaf weights.
        min_child_weight: least sum of second derivatives in a child.
        max_delta_step: largest leaf weight before the learning rate; 0 for no limit.
        constrained: whether any feature is monotone.
    """

    reg_lambda: float
    reg_alpha: float
    min_child_weight: float
    max_delta_step: float
    constrained: bool


class Splits(NamedTuple):
    """The best split of every node; arrays of shape (nodes,).

    Attributes:
        gain: float32; −inf where there is no split.
        feature: int32, place among the candidates.
        split_bin: int32, within the feature.
        default_left: bool.
        left: float64, shape (nodes, 2): sums of gradients on the left.
    """

    gain: NDArray[np.float32]
    feature: NDArray[np.int32]
    split_bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.float64]


@inline
def _threshold(g, alpha):  # type: ignore[no-untyped-def]
    if g > alpha:
        return g - alpha
    if g < -alpha:
        return g + alpha
    return 0.0


@jit
def node_weight(g, h, r, low, high):  # type: ignore[no-untyped-def]
    """A leaf's weight before the learning rate, within its bounds."""
    if h < r.min_child_weight or h <= 0.0:
        return 0.0
    weight = -_threshold(g, r.reg_alpha) / (h + r.reg_lambda)
    if r.max_delta_step != 0.0 and abs(weight) > r.max_delta_step:
        weight = r.max_delta_step if weight > 0 else -r.max_delta_step
    return min(max(weight, low), high) if r.constrained else weight


@jit
def node_gain(g, h, r, weight):  # type: ignore[no-untyped-def]
    """Twice the improvement of the objective by a leaf of this weight."""
    if h <= 0.0:
        return 0.0
    if not r.constrained and r.max_delta_step == 0.0:
        return _threshold(g, r.reg_alpha) ** 2 / (h + r.reg_lambda)
    return -(2.0 * g * weight + (h + r.reg_lambda) * weight * weight)


@jit
def _split_gain(gl, hl, gr, hr, r, low, high, monotone):  # type: ignore[no-untyped-def]
    wl = node_weight(gl, hl, r, low, high)
    wr = node_weight(gr, hr, r, low, high)
    if (monotone > 0 and wl > wr) or (monotone < 0 and wl < wr):
        return -np.inf
    return node_gain(gl, hl, r, wl) + node_gain(gr, hr, r, wr)


@jit
def best_splits(histograms, offsets, sizes, categorical, monotone, bounds, r, unit):  # type: ignore[no-untyped-def]
    """The best split of every node.

    Args:
        histograms: int64, shape (nodes, bins, 2).
        offsets: where each candidate feature's bins begin.
        sizes: bins of each, the last one for missing values.
        categorical: bool by candidate.
        monotone: int8 by candidate: 1, −1 or 0.
        bounds: float64, shape (nodes, 2): least and largest weight.
        r: the regularisation.
        unit: the resolution.

    Returns:
        Fields of `Splits`, in order.
    """
    nodes = histograms.shape[0]
    gain = np.full(nodes, -np.inf, dtype=np.float32)
    feature = np.zeros(nodes, dtype=np.int32)
    split_bin = np.zeros(nodes, dtype=np.int32)
    default_left = np.zeros(nodes, dtype=np.bool_)
    left = np.zeros((nodes, 2), dtype=np.float64)
    for k in range(nodes):
        low, high = bounds[k, 0], bounds[k, 1]
        total_g = np.int64(0)
        total_h = np.int64(0)
        for b in range(offsets[0], offsets[0] + sizes[0]):
            total_g += histograms[k, b, 0]
            total_h += histograms[k, b, 1]
        parent_g, parent_h = total_g * unit, total_h * unit
        root = node_gain(parent_g, parent_h, r, node_weight(parent_g, parent_h, r, low, high))
        for c in range(offsets.shape[0]):
            first = offsets[c]
            values = sizes[c] - 1
            missing_g = histograms[k, first + values, 0]
            missing_h = histograms[k, first + values, 1]
            has_missing = missing_g != 0 or missing_h != 0
            for missing_left in range(2):
                if missing_left == 1 and not has_missing:
                    continue
                g = np.int64(0)
                h = np.int64(0)
                for step in range(values):
                    # Numbers: the sum of the bins so far is on the left (upwards) or on the right (downwards).
                    b = first + (step if missing_left == 0 or categorical[c] else values - 1 - step)
                    if categorical[c]:
                        g = histograms[k, b, 0] + (missing_g if missing_left == 0 else 0)
                        h = histograms[k, b, 1] + (missing_h if missing_left == 0 else 0)
                        gl, hl = total_g - g, total_h - h
                    else:
                        g += histograms[k, b, 0]
                        h += histograms[k, b, 1]
                        if missing_left == 0:
                            gl, hl = g, h
                        else:
                            gl, hl = total_g - g, total_h - h
                    left_g, left_h = gl * unit, hl * unit
                    right_g, right_h = (total_g - gl) * unit, (total_h - hl) * unit
                    if left_h < r.min_child_weight or right_h < r.min_child_weight or left_h <= 0.0 or right_h <= 0.0:
                        continue
                    found = np.float32(_split_gain(left_g, left_h, right_g, right_h, r, low, high, monotone[c]) - root)
                    if found > gain[k] and not np.isinf(found):
                        gain[k] = found
                        feature[k] = c
                        at = b - first
                        split_bin[k] = at if missing_left == 0 or categorical[c] else at - 1
                        default_left[k] = missing_left == 1
                        left[k, 0], left[k, 1] = left_g, left_h
    return gain, feature, split_bin, default_left, left
