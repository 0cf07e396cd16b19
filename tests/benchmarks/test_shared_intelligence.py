"""Shared intelligence on simulated compromised terminals: hashed secure tables do what pooled rows would do."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.shared_intelligence import (
    SOURCES,
    Columns,
    bank_of,
    entity_features,
    federated_trees,
    measure,
    table_settings,
)

COLUMNS = Columns(entity="terminal", customer="customer", time="time", amount="amount", label="fraud")


@pytest.fixture(scope="module")
def banks():
    """Ninety days, ten banks; at any time a few of 800 terminals are compromised for four weeks."""
    rng = np.random.default_rng(11)
    n = 90_000
    frame = pd.DataFrame(
        {
            "terminal": rng.integers(0, 800, n),
            "customer": rng.integers(0, 8000, n),
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 90 * 86_400, n)), unit="s"),
            "amount": np.round(rng.gamma(2.0, 30.0, n), 2),
        }
    )
    day = (frame["time"] - pd.Timestamp("2026-01-01")).dt.days
    frame["fraud"] = (rng.random(n) < 0.002).astype(int)
    for start in range(90):
        hit = (frame["terminal"] == rng.integers(0, 800)) & day.between(start, start + 27)
        frame.loc[hit & (rng.random(n) < 0.9), "fraud"] = 1
    bank = bank_of(frame["customer"], 10)
    return [frame[bank == number] for number in range(10)]


def test_secure_tables_beat_own_rows_and_match_pooled_rows(banks):
    def model(*tables):
        return federated_trees(*tables, trees=10, max_depth=4)

    found = measure(banks, COLUMNS, SOURCES, test_share=0.25, model=model)
    ap = {source: found[source]["ap"] for source in SOURCES}
    assert ap["secure"] - ap["own"] >= 0.15
    assert abs(ap["pooled"] - ap["secure"]) <= 0.02
    assert ap["own"] > ap["none"]


def test_secure_features_are_the_pooled_ones_but_for_shared_cells(banks):
    settings = table_settings(pd.concat(banks), COLUMNS)
    secure = entity_features(banks, settings, "secure", key=bytes(32))
    pooled = entity_features(banks, settings, "pooled", key=bytes(32))
    for hashed, exact in zip(secure, pooled, strict=True):
        assert list(hashed.columns) == list(exact.columns)
        same = np.isclose(hashed.to_numpy(), exact.to_numpy(), rtol=1e-5, equal_nan=True)
        assert same.mean() > 0.8
        counts = [name for name in hashed.columns if "transactions" in name or "frauds" in name]
        assert (hashed[counts].to_numpy() >= exact[counts].to_numpy()).all()


def test_customers_stay_with_their_bank_and_banks_are_alike(banks):
    customers = [set(bank["customer"]) for bank in banks]
    assert sum(map(len, customers)) == len(set.union(*customers))
    assert min(map(len, customers)) > 200
