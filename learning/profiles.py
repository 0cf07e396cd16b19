"""Customer profiles, computed inside a bank: how much, how often and how long ago a customer has paid before.

A transaction's profile is made of the same customer's *earlier* transactions only, those of the same instant left out,
so that nothing looks ahead (Handbook "Reproducible Machine Learning for Credit Card Fraud Detection", chapter 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba as nb
import numpy as np
import pandas as pd

from learning.errors import DataRejected
from learning.schema import require_columns, timestamps

jit: Any = nb.njit(nogil=True, cache=True)
_DAY_NS = 86_400_000_000_000
_HOUR_NS = 3_600_000_000_000


def profile_names(windows_days: Sequence[int]) -> list[str]:
    """Names of the features, in the order of `customer_profiles`' columns."""
    by_window = [
        f"customer_{what}_{window}d" for window in windows_days for what in ("count", "amount", "mean", "ratio")
    ]
    return [*by_window, "customer_hours_since_last"]


def customer_profiles(
    frame: pd.DataFrame, *, customer: str, time: str, amount: str, windows_days: Sequence[int]
) -> pd.DataFrame:
    """Profiles of every transaction's customer just before it.

    Args:
        frame: transactions in any order; the index is kept.
        customer: column with the customer; missing ones have no profile.
        time: column with the transaction's time.
        amount: column with the amount.
        windows_days: lengths of the windows, in days.

    Returns:
        float32 columns `profile_names(windows_days)`: by window the number of earlier transactions, their amount, their
        mean amount, and this amount as a multiple of that mean; then the hours since the last one. Missing where there
        is none.

    Raises:
        DataRejected: a column is missing or of the wrong type.
    """
    require_columns(frame, [customer, time, amount])
    if not pd.api.types.is_numeric_dtype(frame[amount]):
        raise DataRejected(amount, expected="numbers", got=f"values of type {frame[amount].dtype}")
    codes = pd.factorize(frame[customer])[0].astype(np.int64)
    at = timestamps(frame, time).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    amounts = frame[amount].to_numpy(dtype=np.float64, na_value=np.nan)
    order = np.lexsort((at, codes))
    windows = np.array(windows_days, dtype=np.int64) * _DAY_NS
    found = _profiles(codes[order], at[order], np.nan_to_num(amounts)[order], windows)
    values = np.empty_like(found)
    values[order] = found
    values[codes < 0] = np.nan
    return pd.DataFrame(values, columns=profile_names(windows_days), index=frame.index)


@jit
def _profiles(codes, at, amounts, windows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # Numba's
    """Rows sorted by customer, then time: one pass with a pointer a window."""
    n, w = len(codes), len(windows)
    out = np.full((n, 4 * w + 1), np.nan, dtype=np.float32)
    sums = np.zeros(n + 1)
    for i in range(n):
        sums[i + 1] = sums[i] + amounts[i]
    begin = np.zeros(w, dtype=np.int64)
    start = 0
    before = 0  # first row of the same customer and instant
    for i in range(n):
        if i == 0 or codes[i] != codes[i - 1]:
            start = i
            before = i
            begin[:] = i
        elif at[i] != at[i - 1]:
            before = i
        for k in range(w):
            while begin[k] < before and at[begin[k]] < at[i] - windows[k]:
                begin[k] += 1
            count = before - begin[k]
            total = sums[before] - sums[begin[k]]
            out[i, 4 * k] = count
            out[i, 4 * k + 1] = total
            if count > 0:
                mean = total / count
                out[i, 4 * k + 2] = mean
                if mean != 0.0:
                    out[i, 4 * k + 3] = amounts[i] / mean
        if before > start:
            out[i, 4 * w] = (at[i] - at[before - 1]) / _HOUR_NS
    return out
