"""Customer profiles: equal to a naive count, no look-ahead, ties, histories, bad columns, speed."""

import time

import numpy as np
import pandas as pd
import pytest

from learning.derived_names import profile_names
from learning.errors import DataRejected
from learning.profiles import customer_profiles

WINDOWS = (1, 7, 30)


def profiles(frame, **more):
    return customer_profiles(frame, customer="customer", time="time", amount="amount", windows_days=WINDOWS, **more)


def transactions(n=1500, customers=25, seed=2):
    rng = np.random.default_rng(seed)
    # Whole minutes over 45 days: several rows of one customer at the same moment do occur.
    minutes = rng.integers(0, 45 * 24 * 60, n)
    minutes[: n // 10] = minutes[n // 10 : 2 * (n // 10)]
    frame = pd.DataFrame(
        {
            "customer": rng.integers(0, customers, n),
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(minutes, unit="min"),
            "amount": np.round(rng.gamma(2.0, 30.0, n), 2),
        }
    )
    frame.loc[::37, "amount"] = np.nan
    frame.loc[: n // 10, "customer"] = frame.loc[n // 10 : 2 * (n // 10), "customer"].to_numpy()
    return frame


def naive(frame, history):
    rows = []
    for row in frame.itertuples():
        before = history[(history["customer"] == row.customer) & (history["time"] < row.time)]
        features = []
        for days in WINDOWS:
            seen = before[before["time"] >= row.time - pd.Timedelta(days=days)]
            mean = seen["amount"].mean()
            features += [len(seen), seen["amount"].sum(), mean, row.amount / mean]
        last = (row.time - before["time"].max()) / pd.Timedelta(hours=1) if len(before) else np.nan
        rows.append([*features, last])
    return np.array(rows, dtype=float)


def test_features_equal_a_naive_count_with_ties_and_missing_amounts():
    frame = transactions()
    assert frame.duplicated(["customer", "time"]).any()
    got = profiles(frame)
    assert list(got.columns) == profile_names(WINDOWS)
    assert (got.dtypes == np.float32).all()
    np.testing.assert_allclose(got.to_numpy(), naive(frame, frame), rtol=1e-5)


def test_the_order_of_rows_and_the_index_do_not_matter():
    frame = transactions()
    shuffled = frame.sample(frac=1.0, random_state=8)
    got = profiles(shuffled)
    assert (got.index == shuffled.index).all()
    pd.testing.assert_frame_equal(got.sort_index(), profiles(frame), rtol=1e-6)


def test_no_feature_looks_ahead():
    """Rows from a moment on are changed, dropped and doubled; features of rows up to then are the same bits."""
    frame = transactions()
    now = pd.Timestamp("2026-01-25 10:30")
    past = frame["time"] <= now
    assert 100 < past.sum() < len(frame) - 100
    changed = frame.copy()
    changed.loc[frame["time"] >= now, "amount"] *= 1000.0
    changed = pd.concat([changed, changed[~past].assign(time=now + pd.Timedelta(minutes=1))], ignore_index=True)
    before = frame["time"] < now
    first = profiles(frame)[before]
    second = profiles(changed).loc[: len(frame) - 1][before]
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_history_is_looked_back_on():
    frame = transactions()
    late = frame["time"] >= pd.Timestamp("2026-01-30")
    whole = profiles(frame)[late]
    alone = profiles(frame[late])
    with_history = profiles(frame[late], history=frame[~late])
    pd.testing.assert_frame_equal(with_history, whole, rtol=1e-6)
    assert (alone["customer_count_30d"] <= whole["customer_count_30d"]).all()
    assert (alone["customer_count_30d"] < whole["customer_count_30d"]).any()


def test_missing_customers_have_no_profile_and_no_rows_have_no_features():
    frame = transactions()
    frame["customer"] = frame["customer"].astype("Int64").where(frame.index % 5 != 0)
    got = profiles(frame)
    assert got[frame["customer"].isna()].isna().all().all()
    known = frame[frame["customer"].notna()]
    np.testing.assert_allclose(got[frame["customer"].notna()].to_numpy(), naive(known, known), rtol=1e-5)
    assert profiles(frame.iloc[:0]).shape == (0, 13)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda f: f.drop(columns="customer"), "customer"),
        (lambda f: f.assign(customer=[[name] for name in f["customer"]]), "customer"),
        (lambda f: pd.concat([f, f[["amount"]]], axis=1), "amount"),
        (lambda f: f.assign(amount=f["amount"].astype(str)), "amount"),
        (lambda f: f.assign(amount=f["amount"].where(f.index != 4, np.inf)), "amount"),
        (lambda f: f.assign(time=f["amount"]), "time"),
        (lambda f: f.assign(time=f["time"].where(f.index != 4)), "time"),
    ],
)
def test_bad_columns_are_refused_by_name(change, column):
    with pytest.raises(DataRejected) as refused:
        profiles(change(transactions()))
    assert refused.value.column == column


def test_amounts_that_are_no_numbers_are_counted():
    frame = transactions().astype({"amount": object})
    frame.loc[frame.index[[3, 7, 9]], "amount"] = "12,50"
    with pytest.raises(DataRejected) as refused:
        profiles(frame)
    assert refused.value.expected == "amounts (numbers)"
    assert refused.value.got == "3 rows with other values (the first in row 4)"


def test_a_million_rows_take_seconds():
    frame = transactions(n=1_000_000, customers=5000)
    profiles(frame.iloc[:100])  # compiles
    began = time.perf_counter()
    profiles(frame)
    assert time.perf_counter() - began < 20
