"""Customer profiles: how much, how often and how lately a customer has spent, as known just before each transaction.

Profiles are computed inside the bank from its own rows; nothing of them is summed or sent. Every feature of a row uses
the rows of the same customer with a strictly earlier time, so that neither the row itself nor one of the same moment
nor a later one can move it (Handbook "Reproducible Machine Learning for Credit Card Fraud Detection", chapter 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba as nb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.columns import count_of, others_than_numbers, places, require_columns, timestamps
from learning.derived_names import profile_names
from learning.errors import DataRejected

jit: Any = nb.njit(nogil=True, cache=True)
_DAY_NS = 86_400_000_000_000
_HOUR_NS = 3_600_000_000_000
_FEATURES_A_WINDOW = 4


def customer_profiles(
    frame: pd.DataFrame,
    *,
    customer: str,
    time: str,
    amount: str,
    windows_days: Sequence[int] = (1, 7, 30),
    history: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Profiles of every transaction's customer just before it.

        count    rows of the customer in [t - window, t)
        amount   their amounts' sum
        mean     their mean amount; missing without such rows
        ratio    the transaction's amount / mean; missing where the mean is missing or not positive
        customer_hours_since_last   since the customer's last row before t; missing for the first one

    Rows without an amount count, and are left out of sums and means.

    Args:
        frame: transactions in any order; order and index are kept.
        customer: column with the customer's (or account's) identifier; a missing one has no profile.
        time: column with the transaction's time; without a zone it is UTC.
        amount: column with the amount.
        windows_days: lengths of the windows, in days.
        history: earlier rows of the same bank to look back on; no features are computed for them.

    Returns:
        float32 columns `profile_names(windows_days)`.

    Raises:
        DataRejected: a column is missing or of the wrong type, a time is missing, an amount is infinite, a customer is
            neither text nor number.
    """
    parts = [frame] if history is None else [frame, history]
    for part in parts:
        require_columns(part, [customer, time, amount])
    at = np.concatenate([_nanoseconds(part, time) for part in parts])
    amounts = np.concatenate([_amounts(part[amount], amount) for part in parts])
    customers = pd.concat([part[customer] for part in parts], ignore_index=True)
    codes, _ = places(customers, customer)
    order = np.lexsort((at, codes))
    windows = np.asarray(windows_days, dtype=np.int64) * _DAY_NS
    in_order = _profiles(codes[order], at[order], amounts[order], windows)
    out = np.empty_like(in_order)
    out[order] = in_order
    return pd.DataFrame(out[: len(frame)], columns=profile_names(windows_days), index=frame.index)


def _nanoseconds(frame: pd.DataFrame, column: str) -> NDArray[np.int64]:
    return np.asarray(timestamps(frame, column).dt.as_unit("ns").astype("int64"), dtype=np.int64)


def _amounts(values: pd.Series, column: str) -> NDArray[np.float64]:
    if not pd.api.types.is_numeric_dtype(values) and len(values):
        raise DataRejected(column, expected="amounts (numbers)", got=others_than_numbers(values))
    amounts = values.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(amounts)
    if infinite.any():
        raise DataRejected(column, expected="finite amounts", got=count_of(infinite, "infinite ones"))
    return amounts


@jit
def _profiles(codes, at, amounts, windows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # Numba's
    """Features of rows sorted by customer, then time: float32, shape (n_rows, 4 * n_windows + 1).

    For row i of a customer, `now` is the first row of i's own moment, so that earlier rows end there; tails[w] is the
    first of them inside window w. Both only move forward:

        first ........ tails[w] ======== now .. i
                       '---- window w ---'
    """
    n, n_windows = len(codes), len(windows)
    out = np.full((n, _FEATURES_A_WINDOW * n_windows + 1), np.nan, dtype=np.float32)
    tails = np.zeros(n_windows, dtype=np.int64)
    # Of the customer's rows before row i. They start anew with every customer, so that no other row's amount, least of
    # all a later one's, reaches their rounding.
    sums = np.zeros(n + 1)
    known = np.zeros(n + 1, dtype=np.int64)
    now = 0
    for i in range(n):
        if codes[i] < 0:
            continue
        if i == 0 or codes[i] != codes[i - 1]:
            now = i
            tails[:] = i
            sums[i] = 0.0
            known[i] = 0
        elif at[i] != at[i - 1]:
            now = i
            out[i, -1] = (at[i] - at[i - 1]) / _HOUR_NS
        else:
            out[i, -1] = out[i - 1, -1]
        missing = np.isnan(amounts[i])
        sums[i + 1] = sums[i] + (0.0 if missing else amounts[i])
        known[i + 1] = known[i] + (0 if missing else 1)
        for w in range(n_windows):
            while tails[w] < now and at[tails[w]] < at[i] - windows[w]:
                tails[w] += 1
            first = _FEATURES_A_WINDOW * w
            total = sums[now] - sums[tails[w]]
            count = known[now] - known[tails[w]]
            out[i, first] = now - tails[w]
            out[i, first + 1] = total if count > 0 else 0.0
            if count > 0:
                mean = total / count
                out[i, first + 2] = mean
                if mean > 0.0:
                    out[i, first + 3] = amounts[i] / mean
    return out
