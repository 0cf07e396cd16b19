"""Histograms of gradients: a bank's rows by node and bin, in integers, so that sums and differences are exact."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from learning.row_slices import ROWS_AT_ONCE, row_slices

_INT32 = 2.0**31 - 1

jit: Any = nb.njit(nogil=True, cache=True, boundscheck=False)


def room_for_gradients(rows: int, largest_weight: float, resolution: float) -> NDArray[np.signedinteger[Any]]:
    """What `logistic_gradients` writes to: int32, or int64 where a weight is so large, shape (rows, 2)."""
    return np.empty((rows, 2), dtype=np.int32 if largest_weight / resolution < _INT32 else np.int64)


@jit
def logistic_gradients(margins, y, weight, per_unit, out):  # type: ignore[no-untyped-def]
    """Derivatives of the log loss by margin: w·(p − y) and w·p·(1 − p), as in XGBoost's `binary:logistic`.

    Args:
        margins: float64, shape (n,), log-odds.
        y: uint8, shape (n,).
        weight: float32, shape (n,), as XGBoost has them.
        per_unit: 1 / the query's resolution.
        out: int32 or int64, shape (n, 2), OUT: rounded to units of the resolution.
    """
    for i in range(margins.shape[0]):
        p = 1.0 / (1.0 + np.exp(-margins[i]))
        out[i, 0] = np.int64(np.rint(weight[i] * (p - y[i]) * per_unit))
        out[i, 1] = np.int64(np.rint(weight[i] * max(p * (1.0 - p), 1e-16) * per_unit))


def node_histograms(
    binned: NDArray[np.uint8], gradients: NDArray[np.signedinteger[Any]], node: NDArray[np.int16],
    slot_of: NDArray[np.int32], slots: int, columns: NDArray[np.int64], offsets: NDArray[np.int64], width: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Sums of gradients by node, feature and bin.

    Args:
        binned: uint8, shape (n, f).
        gradients: int32 or int64, shape (n, 2).
        node: int16, shape (n,): where a row is in the tree, or −1 for nowhere.
        slot_of: int32, by node, and a last entry for −1: which of the asked nodes it is, or `slots` for none.
        slots: how many nodes are asked for.
        columns: the features asked for.
        offsets: where each of those features' bins begin.
        width: bins of all of them together.

    Returns:
        int64, shape (slots, width, 2).
    """
    out = np.zeros((slots, width, 2), dtype=np.int64)
    rows = np.empty(ROWS_AT_ONCE + 1, dtype=np.int32)
    for some in row_slices(len(node)):
        starts = _group(node[some], slot_of, slots, rows)
        _accumulate(binned[some], gradients[some], rows, starts, columns, offsets, out)
    return out


@jit
def _group(node, slot_of, slots, rows):  # type: ignore[no-untyped-def]
    """Row numbers by slot (OUT: rows), and where each slot's begin: a counting sort that keeps rows in order.

    Rows of no slot all go to the one place after the others: without a branch, which nobody could predict.
    """
    starts = np.zeros(slots + 2, dtype=np.int64)
    for i in range(node.shape[0]):
        starts[slot_of[node[i]] + 1] += 1
    for k in range(slots):
        starts[k + 1] += starts[k]
    place = starts[: slots + 1].copy()
    step = np.ones(slots + 1, dtype=np.int64)
    step[slots] = 0
    for i in range(node.shape[0]):
        slot = slot_of[node[i]]
        rows[place[slot]] = i
        place[slot] += step[slot]
    return starts[: slots + 1]


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
