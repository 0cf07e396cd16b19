"""Features for models of the simulated payments: what was known the moment before each transaction, and nothing later.

The terminal's risk is a feature of its own, because it is what a consortium adds: over which banks' rows it is counted
is the caller's choice.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Days over which a terminal's payments and reported frauds are counted.
WINDOWS: Final = (7, 28)
#: Transactions' worth of the overall rate that a terminal's own rate is shrunk towards.
PRIOR: Final = 4.0


def transaction_features(rows: pd.DataFrame) -> pd.DataFrame:
    """What a bank knows of a transaction from its own customers' earlier ones.

    Args:
        rows: One or more banks' transactions in order of time; a customer has one bank, so that features do not depend
            on which banks' rows are there.

    Returns:
        float64 columns for amount, time, channel, category, country and the customer's habits; the index of `rows`.
    """
    amount, seconds = rows["amount"], rows["time"].astype("datetime64[s]").astype("int64")
    by_customer = amount.groupby(rows["customer"], sort=False)
    seen = by_customer.cumcount()
    before = (by_customer.cumsum() - amount) / seen.where(seen > 0)
    columns = {
        "amount": amount,
        "amount_over_mean": amount / before,
        "hour": seconds % 86_400 / 3600.0,
        "weekday": rows["time"].dt.day_of_week,
        "channel": rows["channel"].cat.codes,
        "merchant_category": rows["merchant_category"].cat.codes.where(rows["merchant_category"].notna()),
        "abroad": rows["abroad"],
        "transactions_before": seen,
        "hours_since_last": seconds.groupby(rows["customer"], sort=False).diff() / 3600.0,
        "transactions_in_a_day": _recent(rows["customer"], np.asarray(seconds, dtype=np.int64)),
        "visits": rows.groupby(["customer", "terminal"], sort=False).cumcount(),
        "device_uses": rows.groupby(["customer", "device"], sort=False).cumcount().where(rows["device"].notna()),
    }
    return pd.DataFrame({name: values.astype("float64") for name, values in columns.items()}, index=rows.index)


def _recent(customer: pd.Series, seconds: NDArray[np.int64]) -> pd.Series:
    """The customer's transactions in the 24 hours before, without this one; int64."""
    codes = pd.factorize(customer)[0].astype(np.int64)
    order = np.argsort(codes, kind="stable")
    # One ascending key for all customers: they lie further apart than any two times.
    key = codes[order] * 2**36 + seconds[order]
    count = np.arange(len(key)) - np.searchsorted(key, key - 86_400, side="left")
    back = np.empty(len(key), dtype=np.int64)
    back[order] = count
    return pd.Series(back, index=customer.index)


def terminal_risk(rows: pd.DataFrame, counted: pd.DataFrame) -> pd.DataFrame:
    """Each transaction's terminal: payments there, frauds reported there, and the shrunk rate, in the days before.

    A fraud counts from the day after it was reported, in the window of its report. That is the terminal risk of the
    Fraud Detection Handbook (Le Borgne et al., chapter 3, section 3), with each fraud's own delay instead of seven days
    for all.

    Args:
        rows: The transactions that the features are for.
        counted: The transactions that are counted: the bank's own, or all banks'.

    Returns:
        float64 columns `terminal_{payments,frauds,risk}_{7,28}d`; the index of `rows`.
    """
    first = min(rows["time"].min(), counted["time"].min()).normalize()
    terminals = pd.Index(pd.concat([rows["terminal"], counted["terminal"]]).unique())
    day, at = _day(rows["time"], first), terminals.get_indexer(rows["terminal"])
    days = int(max(day.max(), _day(counted["time"], first).max())) + 1
    reports = counted[counted["fraud"] == 1]
    reported = reports["time"] + pd.to_timedelta(reports["reported_after_days"], unit="D")
    payments = _running(_day(counted["time"], first), terminals.get_indexer(counted["terminal"]), days, len(terminals))
    frauds = _running(_day(reported, first), terminals.get_indexer(reports["terminal"]), days, len(terminals))
    rate = frauds.sum(axis=1) / np.maximum(1, payments.sum(axis=1))
    out = {}
    for window in WINDOWS:
        since = np.maximum(0, day - window)
        n, f = payments[day, at] - payments[since, at], frauds[day, at] - frauds[since, at]
        out[f"terminal_payments_{window}d"] = n.astype(np.float64)
        out[f"terminal_frauds_{window}d"] = f.astype(np.float64)
        out[f"terminal_risk_{window}d"] = (f + PRIOR * rate[day]) / (n + PRIOR)
    return pd.DataFrame(out, index=rows.index)


def _day(time: pd.Series, first: pd.Timestamp) -> NDArray[np.int64]:
    return ((time - first) // pd.Timedelta(days=1)).to_numpy().astype(np.int64)


def _running(day: NDArray[np.int64], terminal: NDArray[np.int64], days: int, terminals: int) -> NDArray[np.int64]:
    """Counts before each day, int64 of shape (days + 1, terminals); what falls after the last day is left out."""
    within = day < days
    flat = np.bincount(day[within] * terminals + terminal[within], minlength=days * terminals)
    sums = np.zeros((days + 1, terminals), dtype=np.int64)
    np.cumsum(flat.reshape(days, terminals), axis=0, out=sums[1:])
    return sums
