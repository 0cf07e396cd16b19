"""Customer profiles: how much, how often and how lately a customer has spent, as known just before each transaction.

Profiles are computed inside the bank from its own rows; nothing of them is summed or sent. Every feature of a row uses
the rows of the same customer with a strictly earlier time, so that neither the row itself nor one of the same moment
nor a later one can move it.
"""

from __future__ import annotations

from typing import Annotated, Any

import numba as nb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning.errors import DataRejected
from learning.schema import require_columns, timestamps

_NANOSECONDS_A_DAY = 86_400_000_000_000
_NANOSECONDS_AN_HOUR = 3_600_000_000_000
_FEATURES_A_WINDOW = 3

Days = Annotated[int, Field(ge=1, le=366)]

jit: Any = nb.njit(cache=True)


class ProfileSettings(BaseModel):
    """What a profile is made of.

    Attributes:
        customer: column with the customer's (or account's) identifier.
        time: column with the transaction's time; without a zone it is UTC.
        amount: column with the transaction's amount.
        windows_days: lengths of the windows that end just before a transaction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: str = Field(min_length=1, max_length=128)
    time: str = Field(min_length=1, max_length=128)
    amount: str = Field(min_length=1, max_length=128)
    windows_days: tuple[Days, ...] = Field(default=(1, 7, 30), min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> ProfileSettings:
        if len(set(self.windows_days)) != len(self.windows_days):
            raise ValueError("windows_days: windows must be distinct")
        if len({self.customer, self.time, self.amount}) != 3:
            raise ValueError("customer, time and amount: must be three columns")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of `profile_features`' columns."""
        windows = [
            f"{self.customer}_{name}_{days}d"
            for days in self.windows_days
            for name in ("transactions", "mean_amount", "amount_ratio")
        ]
        return (*windows, f"{self.customer}_hours_since_last")


def profile_features(
    frame: pd.DataFrame, settings: ProfileSettings, *, history: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Profile features of transactions, from what the bank knew just before each of them.

        transactions      rows of the customer in [t - window, t)
        mean_amount       their mean amount; missing without such rows
        amount_ratio      the transaction's amount / (mean_amount + 1); missing without such rows
        hours_since_last  hours since the customer's last row before t; missing for the first one

    Rows without an amount count as transactions and are left out of the means.

    Args:
        frame: transactions in any order; order and index are kept.
        settings: names of columns, windows.
        history: earlier rows of the same bank to look back on; no features are computed for them.

    Returns:
        float32 columns `settings.feature_names`, all missing where the customer is.

    Raises:
        DataRejected: a column is missing or of the wrong type, a time is missing, an amount is infinite.
    """
    columns = [settings.customer, settings.time, settings.amount]
    parts = [frame] if history is None else [frame, history]
    for part in parts:
        require_columns(part, columns)
    times = np.concatenate([_nanoseconds(part, settings.time) for part in parts])
    amounts = np.concatenate([_amounts(part[settings.amount], settings.amount) for part in parts])
    customers = pd.concat([part[settings.customer] for part in parts], ignore_index=True)
    codes = pd.factorize(customers, use_na_sentinel=True)[0].astype(np.int64)
    order = np.lexsort((times, codes))
    windows = np.asarray(settings.windows_days, dtype=np.int64) * _NANOSECONDS_A_DAY
    in_order = _profile(codes[order], times[order], amounts[order], windows)
    out = np.empty_like(in_order)
    out[order] = in_order
    return pd.DataFrame(out[: len(frame)], columns=list(settings.feature_names), index=frame.index)


def _nanoseconds(frame: pd.DataFrame, column: str) -> NDArray[np.int64]:
    return np.asarray(timestamps(frame, column).dt.as_unit("ns").astype("int64"), dtype=np.int64)


def _amounts(values: pd.Series, column: str) -> NDArray[np.float64]:
    if not pd.api.types.is_numeric_dtype(values) and len(values):
        raise DataRejected(column, expected="amounts (numbers)", got=f"values of type {values.dtype}")
    amounts = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(amounts).any():
        raise DataRejected(column, expected="finite amounts", got=f"{int(np.isinf(amounts).sum())} infinite ones")
    return amounts


@jit
def _profile(codes, times, amounts, windows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # compiled for the types that come
    """Features of rows sorted by customer, then time: float32, shape (n_rows, 3 * n_windows + 1).

    For row i of a customer whose rows begin at `first`, `now` is the first row of i's own moment, so that rows
    [first, now) are earlier ones; tail[w] is the first of them inside window w. Both only move forward:

        first ........ tail[w] ======== now .. i
                       '---- window ---'
    """
    n, n_windows = len(codes), len(windows)
    out = np.full((n, _FEATURES_A_WINDOW * n_windows + 1), np.nan, dtype=np.float32)
    tails = np.zeros(n_windows, dtype=np.int64)
    sums = np.zeros(n + 1)  # of the amounts of a customer's rows before row i; restarts with every customer
    known = np.zeros(n + 1, dtype=np.int64)  # how many of them have an amount
    now = 0
    for i in range(n):
        if codes[i] < 0:
            continue
        if i == 0 or codes[i] != codes[i - 1]:
            now = i
            tails[:] = i
            sums[i] = 0.0
            known[i] = 0
        elif times[i] != times[i - 1]:
            now = i
            out[i, -1] = (times[i] - times[i - 1]) / _NANOSECONDS_AN_HOUR
        else:
            out[i, -1] = out[i - 1, -1]
        missing = np.isnan(amounts[i])
        sums[i + 1] = sums[i] + (0.0 if missing else amounts[i])
        known[i + 1] = known[i] + (0 if missing else 1)
        for w in range(n_windows):
            while tails[w] < now and times[tails[w]] < times[i] - windows[w]:
                tails[w] += 1
            at = _FEATURES_A_WINDOW * w
            out[i, at] = now - tails[w]
            count = known[now] - known[tails[w]]
            if count > 0:
                mean = (sums[now] - sums[tails[w]]) / count
                out[i, at + 1] = mean
                out[i, at + 2] = amounts[i] / (mean + 1.0) if mean > -1.0 else np.nan
    return out
