"""Entity tables: exact counts, no look-ahead, label delay, hashing, small counts, noise, the file format."""

import datetime as dt
import math
import os

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from learning.driver import run
from learning.entities import EntityTableSettings, cells_of, hash_identifiers, prepare_rows
from learning.entity_tables import CELL_BITS, EntityTables, unpack
from learning.errors import AggregateImplausible, ContributionRejected, DataRejected
from learning.query import Query
from learning.risk_table import RiskTable

KEY = bytes(range(32))
DAY = pd.Timedelta(days=1)


def settings(**changes):
    values = {
        "entities": ("terminal",),
        "time": "time",
        "label": "fraud",
        "first_day": dt.date(2026, 1, 1),
        "last_day": dt.date(2026, 3, 1),
        "width": 1024,
        "round_values": 8192,
    }
    return EntityTableSettings(**(values | changes))


def transactions(seed=1, n=6000, terminals=60, fraud_rate=0.05):
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 60 * 86_400, n))
    return pd.DataFrame(
        {
            "terminal": rng.integers(0, terminals, n),
            "merchant": np.char.add("m", rng.integers(0, 9, n).astype(str)),
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(seconds, unit="s"),
            "fraud": (rng.random(n) < fraud_rate).astype(int),
        }
    )


def banks_of(frame, banks=4):
    return [frame[frame.index % banks == bank] for bank in range(banks)]


def table_of(frames, plan, **more):
    return run(EntityTables(plan), [prepare_rows(frame, plan, KEY, **more) for frame in frames])


def naive_features(frame, history, entity, plan):
    """The twin: one row at a time, on whole days, from all banks' rows."""
    day = (history["time"] - pd.Timestamp(plan.first_day)) // DAY
    own_day = (frame["time"] - pd.Timestamp(plan.first_day)) // DAY
    rows = []
    for today, who in zip(own_day, frame[entity], strict=True):
        as_of = min(today, plan.buckets)
        labelled = as_of - plan.label_delay_days
        known = history[day < labelled]
        rate = known["fraud"].mean() if len(known) else np.nan
        row = []
        for window in plan.windows_days:
            mine = history[entity] == who
            seen = (mine & (day < as_of) & (day >= as_of - window)).sum()
            old = mine & (day < labelled) & (day >= labelled - window)
            frauds = history.loc[old, "fraud"].sum()
            risk = (frauds + plan.prior_weight * rate) / (old.sum() + plan.prior_weight)
            row += [seen, frauds, risk, risk / rate]
        rows.append(row)
    return np.array(rows)


def test_features_equal_a_naive_count_over_all_banks_rows():
    frame = transactions()
    plan = settings(width=2**16, round_values=2**20)
    table = table_of(banks_of(frame), plan)
    some = frame.sample(300, random_state=3)
    got = table.features(some, KEY)
    assert list(got.columns) == table.feature_names()
    assert (got.index == some.index).all()
    np.testing.assert_allclose(got.to_numpy(), naive_features(some, frame, "terminal", plan), rtol=1e-5)


def test_the_sum_over_banks_is_the_table_of_the_pooled_rows_and_independent_of_the_round_size():
    frame = transactions()
    pooled = table_of([frame], settings())
    assert table_of(banks_of(frame), settings()).digest() == pooled.digest()
    other = table_of(banks_of(frame, 7), settings(round_values=2**20))
    np.testing.assert_array_equal(other.transactions, pooled.transactions)
    np.testing.assert_array_equal(other.frauds, pooled.frauds)


def test_rows_after_the_last_day_are_not_counted_though_the_last_bucket_reaches_over_them():
    frame = transactions()
    # 41 days: five weeks and six days, so that the sixth bucket reaches a day too far.
    plan = settings(last_day=dt.date(2026, 2, 10), bucket_days=7, windows_days=(7, 28))
    until = frame[frame["time"] < pd.Timestamp("2026-02-11")]
    assert len(until) < len(frame[frame["time"] < pd.Timestamp("2026-02-12")])
    counted, expected = table_of(banks_of(frame), plan), table_of(banks_of(until), plan)
    assert counted.transactions[0, :, 0].sum() == len(until)
    assert counted.digest() == expected.digest()


def test_no_feature_looks_ahead():
    """Labels and rows of the future are changed at random; features of earlier transactions do not move."""
    frame = transactions()
    plan = settings()
    now = pd.Timestamp("2026-02-10 12:00")
    past = frame[frame["time"] < now]
    before = table_of(banks_of(frame), plan).features(past, KEY)

    rng = np.random.default_rng(5)
    changed = frame.copy()
    unknown_label = changed["time"] >= now - plan.label_delay_days * DAY
    changed.loc[unknown_label, "fraud"] = rng.integers(0, 2, unknown_label.sum())
    future = changed["time"] >= now.normalize()
    changed.loc[future, "terminal"] = rng.integers(0, 60, future.sum())
    changed = changed.drop(changed.index[changed["time"] >= now + 5 * DAY])
    after = table_of(banks_of(changed), plan).features(past, KEY)
    pd.testing.assert_frame_equal(before, after)

    # And the test can fail: a label that is old enough does change features.
    known = changed["time"] < now - (plan.label_delay_days + 3) * DAY
    changed.loc[known, "fraud"] = 1 - changed.loc[known, "fraud"]
    moved = table_of(banks_of(changed), plan).features(past, KEY)
    assert not moved.equals(before)


def test_a_label_counts_only_when_the_transaction_is_older_than_the_delay():
    frame = pd.DataFrame(
        {
            "terminal": [7, 7, 7, 7],
            "time": pd.to_datetime(
                ["2026-01-10 23:59:59", "2026-01-17 23:59:59", "2026-01-18 00:00:00", "2026-01-19 00:00:00"]
            ),
            "fraud": [1, 0, 0, 0],
        }
    )
    features = table_of([frame], settings()).features(frame, KEY)
    # The fraud of the 10th, one second before midnight, is older than seven days from the 18th on.
    assert features["terminal_frauds_30d"].tolist() == [0, 0, 1, 1]
    assert features["terminal_transactions_30d"].tolist() == [0, 1, 2, 3]


def test_unconfirmed_labels_never_leave_the_bank():
    frame = transactions(fraud_rate=0.5)
    plan = settings()
    table = table_of([frame], plan)
    assert table.frauds[:, -plan.delay_buckets :].sum() == 0
    assert table.frauds[:, : -plan.delay_buckets].sum() > 0


def test_transactions_after_the_table_see_it_as_of_its_end():
    frame = transactions()
    table = table_of([frame], settings())
    later = pd.DataFrame({"terminal": [3, 3], "time": pd.to_datetime(["2026-03-02", "2026-05-01"])})
    features = table.features(later, KEY)
    pd.testing.assert_series_equal(features.loc[0], features.loc[1], check_names=False)
    assert features.loc[0, "terminal_transactions_30d"] > 0


def test_missing_identifiers_and_times_before_the_table_give_missing_features():
    frame = transactions()
    frame["terminal"] = frame["terminal"].astype("float64")  # as a tool reads integers with gaps
    frame.loc[::10, "terminal"] = np.nan
    whole = frame.dropna().astype({"terminal": int})
    plan = settings()
    table = table_of([frame], plan)
    assert table.digest() == table_of([whole], plan).digest()
    assert table.features(frame, KEY).loc[::10].isna().all(axis=None)
    early = pd.DataFrame({"terminal": [1], "time": pd.to_datetime(["2025-12-31"])})
    assert table.features(early, KEY).isna().all(axis=None)


def test_several_entities_have_tables_of_their_own_whatever_their_names_share():
    frame = transactions()
    plan = settings(entities=("terminal", "merchant"), width=2**14, round_values=2**18)
    both = table_of(banks_of(frame), plan).features(frame.iloc[-50:], KEY)
    for entity in plan.entities:
        np.testing.assert_allclose(
            both.filter(like=entity).to_numpy(), naive_features(frame.iloc[-50:], frame, entity, plan), rtol=1e-5
        )


def test_more_hash_rows_only_ever_count_too_much_and_less_so():
    frame = transactions(terminals=3000)
    exact = naive_features(frame.iloc[-200:], frame, "terminal", settings())[:, 8]
    excess = []
    for rows in (1, 2, 4):
        table = table_of([frame], settings(width=64, hash_rows=rows))
        got = table.features(frame.iloc[-200:], KEY)["terminal_transactions_30d"].to_numpy()
        assert (got >= exact).all()
        excess.append((got - exact).sum())
    assert excess[0] > excess[1] > excess[2]


def test_cells_under_the_minimum_are_in_no_table():
    frame = transactions(terminals=400)
    withheld = table_of(banks_of(frame), settings(min_count=3))
    full = table_of(banks_of(frame), settings())
    assert withheld.transactions[withheld.transactions > 0].min() >= 3
    keep = full.transactions >= 3
    np.testing.assert_array_equal(withheld.transactions, np.where(keep, full.transactions, 0))
    np.testing.assert_array_equal(withheld.frauds, np.where(keep, full.frauds, 0))
    assert (~keep & (full.frauds > 0)).any()


def test_noise_in_the_sum_has_the_planned_variance_with_one_bank_missing():
    """Variance of the counts' error over 180,000 cells: a false alarm needs 6 standard deviations, 1e-9."""
    frame = transactions()
    plan = settings(noise_sigma=4.0, noise_banks=3, min_count=1)
    exact = table_of(banks_of(frame, 4)[:3], settings())
    rows = [prepare_rows(bank, plan, KEY, randbytes=os.urandom) for bank in banks_of(frame, 4)[:3]]
    algorithm = EntityTables(plan)
    state = algorithm.start()
    while (query := algorithm.next_query(state)) is not None:
        total = sum(algorithm.contribution(state, query, data, {}) for data in rows)
        state = algorithm.apply(state, query, total)
    transactions_sum, frauds_sum = unpack(np.concatenate(state.sums).reshape(exact.transactions.shape))
    for noised, clear in ((transactions_sum, exact.transactions), (frauds_sum, exact.frauds)):
        error = (noised - clear).astype(float)
        assert abs(error.var() - 16.0) < 6 * 16.0 * np.sqrt(2 / error.size)
        assert abs(error.mean()) < 6 * 4.0 / np.sqrt(error.size)


def test_noise_without_a_source_of_randomness_is_refused():
    with pytest.raises(ContributionRejected, match="randomness"):
        table_of([transactions()], settings(noise_sigma=1.0))


def test_identifiers_depend_on_key_and_column_and_spread_evenly():
    values = pd.Series(np.arange(20_000))
    one, codes = hash_identifiers(values, "terminal", KEY, 3)
    assert (codes == np.arange(20_000)).all()
    assert (one != hash_identifiers(values, "terminal", bytes(32), 3)[0]).all()
    assert (one != hash_identifiers(values, "merchant", KEY, 3)[0]).all()
    assert (one == hash_identifiers(values.astype(float), "terminal", KEY, 3)[0]).all()
    assert (one == hash_identifiers(values.astype(str), "terminal", KEY, 3)[0]).all()
    # 20,000 balls into 256 cells, thrice: chi-square with 255 degrees of freedom, six deviations.
    for row in cells_of(one, 256).T:
        counts = np.bincount(row, minlength=256)
        chi_square = ((counts - 78.125) ** 2 / 78.125).sum()
        assert abs(chi_square - 255) < 6 * np.sqrt(2 * 255)


def test_packing_keeps_counts_apart_even_when_noise_makes_them_negative():
    transactions_in = np.array([0, 5, -3, 2**20, -(2**20)], dtype=np.int64)
    frauds_in = np.array([0, -2, 7, 2**20, -(2**20)], dtype=np.int64)
    got = unpack(transactions_in + (frauds_in << CELL_BITS))
    np.testing.assert_array_equal(got[0], transactions_in)
    np.testing.assert_array_equal(got[1], frauds_in)
    assert EntityTables(settings()).next_query(EntityTables(settings()).start()).sum_bits <= 44


@pytest.mark.parametrize("packed", [-1, 1 << CELL_BITS])
def test_sums_that_honest_banks_cannot_have_are_refused(packed):
    algorithm = EntityTables(settings())
    state = algorithm.start()
    query = algorithm.next_query(state)
    aggregate = np.zeros(query.length)
    aggregate[17] = packed
    with pytest.raises(AggregateImplausible):
        algorithm.apply(state, query, aggregate)


def test_contributions_do_not_depend_on_the_cache():
    plan = settings()
    rows = prepare_rows(transactions(), plan, KEY)
    algorithm, state, cache = EntityTables(plan), EntityTables(plan).start(), {}
    for _ in range(3):
        query = algorithm.next_query(state)
        cached = algorithm.contribution(state, query, rows, cache)
        np.testing.assert_array_equal(cached, algorithm.contribution(state, query, rows, {}))
        state = algorithm.apply(state, query, cached)
    assert state.blocks_done == 24
    assert state.progress == {"rounds_expected": math.ceil(plan.blocks / 8)}


def test_the_file_round_trips_and_refuses_what_was_changed():
    table = table_of([transactions()], settings())
    data = table.to_bytes()
    again = RiskTable.from_bytes(data)
    assert again.to_bytes() == data
    assert again.digest() == table.digest()
    for bad in (b"", b"{}", b"[]", data[:-5], data.replace(b'"width":1024', b'"width":2048'), b"\xff" + data):
        with pytest.raises(DataRejected):
            RiskTable.from_bytes(bad)
    with pytest.raises(DataRejected, match="digest"):
        RiskTable.from_bytes(data.replace(table.digest().hex().encode(), b"0" * 64))


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda f: f.drop(columns="terminal"), "terminal"),
        (lambda f: f.assign(terminal=f["terminal"] + 0.5), "terminal"),
        (lambda f: f.assign(terminal=[{"id": name} for name in f["terminal"]]), "terminal"),
        (lambda f: f.assign(time=f["time"].astype(str)), "time"),
        (lambda f: f.assign(time=f["time"].where(f.index != 3)), "time"),
        (lambda f: f.assign(fraud=2), "fraud"),
        (lambda f: f.assign(fraud="yes"), "fraud"),
    ],
)
def test_bad_rows_are_refused_with_the_column_named(change, column):
    with pytest.raises(DataRejected) as refused:
        prepare_rows(change(transactions()), settings(), KEY)
    assert refused.value.column == column


@pytest.mark.parametrize(
    ("value", "got"), [("yes", "2 rows with other values (the first in row 3)"),
                       (2, "2 rows with another value (the first in row 3)")],
)  # fmt: skip
def test_labels_that_are_none_are_counted(value, got):
    frame = transactions()
    frame["fraud"] = frame["fraud"].astype(object)
    frame.loc[frame.index[[2, 5]], "fraud"] = value
    with pytest.raises(DataRejected) as refused:
        prepare_rows(frame, settings(), KEY)
    assert str(refused.value) == f"column 'fraud': expected 0, 1 or missing, got {got}"


def test_short_keys_are_refused():
    with pytest.raises(DataRejected, match="16 bytes"):
        prepare_rows(transactions(), settings(), b"short")


@pytest.mark.parametrize(
    ("field", "value"),
    [("last_day", dt.date(2025, 1, 1)), ("windows_days", (7, 7)), ("bucket_days", 2), ("width", 2**20), ("typo", 1)],
)
def test_contradictory_settings_name_the_field(field, value):
    with pytest.raises(ValidationError, match=field):
        settings(**{field: value})


def test_an_empty_bank_and_a_bank_without_fraud_take_part():
    frame = transactions()
    clean = frame[frame["fraud"] == 0]
    plan = settings()
    table = table_of([frame, clean, frame.iloc[:0]], plan)
    assert table.transactions[0, :, 0].sum() == len(frame) + len(clean)


def test_times_with_a_zone_are_read_as_the_same_instant():
    frame = transactions()
    zoned = frame.assign(time=frame["time"].dt.tz_localize("UTC").dt.tz_convert("America/New_York"))
    assert table_of([zoned], settings()).digest() == table_of([frame], settings()).digest()


def test_the_query_is_tied_to_its_blocks():
    algorithm = EntityTables(settings())
    first = algorithm.next_query(algorithm.start())
    second = algorithm.next_query(algorithm.apply(algorithm.start(), first, np.zeros(first.length)))
    assert isinstance(second, Query)
    assert first.digest() != second.digest()
