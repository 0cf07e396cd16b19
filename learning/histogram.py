"""Histograms of gradients: a bank's rows by node and bin, in integers, so that sums and differences are exact."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

_INT32 = 2.0**31 - 1

jit: Any = nb.njit(nogil=True, cache=True, boundscheck=False)


def logistic_gradients(
    margins: NDArray[np.float64], y: NDArray[np.uint8], weight: NDArray[np.float32], resolution: float
) -> NDArray[np.signedinteger[Any]]:
    """First and second derivatives of the log loss by margin, in units of the resolution.

    Args:
        margins: float64, shape (n,), log-odds.
        y: uint8, shape (n,).
        weight: float32, shape (n,), as XGBoost has them.
        resolution: of the query.

    Returns:
        int32, or int64 where weights are so large, shape (n, 2): w·(p − y) and w·p·(1 − p), rounded (XGBoost's
        `binary:logistic`).
    """
    largest = float(weight.max(initial=0.0)) / resolution
    out = np.empty((len(margins), 2), dtype=np.int32 if largest < _INT32 else np.int64)
    _gradients(margins, y, weight, 1.0 / resolution, out)
    return out


@jit
def _gradients(margins, y, weight, per_unit, out):  # type: ignore[no-untyped-def]
    for i in range(margins.shape[0]):
        p = 1.0 / (1.0 + np.exp(-margins[i]))
        out[i, 0] = np.int64(np.rint(weight[i] * (p - y[i]) * per_unit))
        out[i, 1] = np.int64(np.rint(weight[i] * max(p * (1.0 - p), 1e-16) * per_unit))


def node_histograms(
    binned: NDArray[np.uint8], gradients: NDArray[np.signedinteger[Any]], slot: NDArray[np.int32], slots: int,
    columns: NDArray[np.int64], offsets: NDArray[np.int64], width: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Sums of gradients by node, feature and bin.

    Args:
        binned: uint8, shape (n, f).
        gradients: int32 or int64, shape (n, 2).
        slot: int32, shape (n,): which of the asked nodes a row is in, or −1 for none.
        slots: how many nodes are asked for.
        columns: the features asked for.
        offsets: where each of those features' bins begin.
        width: bins of all of them together.

    Returns:
        int64, shape (slots, width, 2).
    """
    out = np.zeros((slots, width, 2), dtype=np.int64)
    rows, starts = _group(slot, slots)
    _accumulate(binned, gradients, rows, starts, columns, offsets, out)
    return out


@jit
def _group(slot, slots):  # type: ignore[no-untyped-def]
    """Row numbers by slot, and where each slot's begin: a counting sort that keeps rows in order."""
    starts = np.zeros(slots + 1, dtype=np.int64)
    for i in range(slot.shape[0]):
        if slot[i] >= 0:
            starts[slot[i] + 1] += 1
    for k in range(slots):
        starts[k + 1] += starts[k]
    place = starts.copy()
    rows = np.empty(starts[slots], dtype=np.int32)
    for i in range(slot.shape[0]):
        if slot[i] >= 0:
            rows[place[slot[i]]] = i
            place[slot[i]] += 1
    return rows, starts


@jit
def _accumulate(binned, gradients, rows, starts, columns, offsets, out):  # type: ignore[no-untyped-def]
    for k in range(starts.shape[0] - 1):
        histogram = out[k]
        for place in range(starts[k], starts[k + 1]):
            i = rows[place]
            g = gradients[i, 0]
            h = gradients[i, 1]
            for c in range(columns.shape[0]):
                b = offsets[c] + np.int64(binned[i, columns[c]])
                histogram[b, 0] += g
                histogram[b, 1] += h


@jit
def move_rows(node, binned, feature, split_bin, default_left, left, right, categorical, missing_bin):  # type: ignore[no-untyped-def]
    """Moves every row from a node that was split to the child that it falls into, in place.

    A number goes left when its bin is at most the split's, a category goes right when it is the split's, and a missing
    value where the split says.
    """
    for i in range(node.shape[0]):
        at = node[i]
        if at < 0 or left[at] < 0:
            continue
        f = feature[at]
        b = binned[i, f]
        if b == missing_bin[f]:
            goes_left = default_left[at]
        elif categorical[f]:
            goes_left = b != split_bin[at]
        else:
            goes_left = b <= split_bin[at]
        node[i] = left[at] if goes_left else right[at]
