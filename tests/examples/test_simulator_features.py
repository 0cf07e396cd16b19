"""The simulator's features know nothing of the future, and terminals' risk over all banks' rows says more."""

import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from examples.simulator import SimulationSettings, simulate
from examples.simulator.features import terminal_risk, transaction_features
from examples.simulator.sanity import split


@pytest.fixture(scope="module")
def rows():
    return simulate(SimulationSettings(customers=1500, terminals=400, days=60, seed=5)).transactions


@pytest.mark.parametrize("cut", [0.3, 0.7])
def test_features_are_the_same_without_the_later_rows(rows, cut):
    part = rows.iloc[: int(cut * len(rows))]
    pd.testing.assert_frame_equal(transaction_features(part), transaction_features(rows).loc[part.index])
    pd.testing.assert_frame_equal(terminal_risk(part, part), terminal_risk(rows, rows).loc[part.index])


def test_features_do_not_change_with_labels_that_are_reported_later(rows):
    moment = rows["time"].iloc[len(rows) // 2]
    reported = rows["time"] + pd.to_timedelta(rows["reported_after_days"], unit="D")
    blind = rows.assign(fraud=rows["fraud"].where(reported <= moment, 0))
    before = rows.index[rows["time"] <= moment]
    pd.testing.assert_frame_equal(terminal_risk(rows, blind).loc[before], terminal_risk(rows, rows).loc[before])
    assert not terminal_risk(rows, blind).equals(terminal_risk(rows, rows))


def test_terminal_counts_are_those_of_a_plain_loop(rows):
    risk = terminal_risk(rows, rows)
    frauds = rows[rows["fraud"] == 1]
    reports = (frauds["time"] + pd.to_timedelta(frauds["reported_after_days"], unit="D")).dt.normalize()
    for place in frauds.index[::40]:
        day, terminal = rows.loc[place, "time"].normalize(), rows.loc[place, "terminal"]
        since = day - pd.Timedelta(days=7)
        there = rows[(rows["terminal"] == terminal) & (rows["time"] < day) & (rows["time"] >= since)]
        said = (frauds["terminal"] == terminal) & (reports < day) & (reports >= since)
        assert risk.loc[place, "terminal_payments_7d"] == len(there)
        assert risk.loc[place, "terminal_frauds_7d"] == said.sum()


def test_habits_are_those_of_a_plain_loop(rows):
    features = transaction_features(rows)
    for customer in rows["customer"].unique()[::300]:
        own = rows[rows["customer"] == customer]
        for number, (place, row) in enumerate(own.iterrows()):
            before = own.iloc[:number]
            got = features.loc[place]
            assert got["transactions_before"] == number
            assert got["transactions_in_a_day"] == (row["time"] - before["time"] <= pd.Timedelta(days=1)).sum()
            assert got["visits"] == (before["terminal"] == row["terminal"]).sum()
            if number:
                assert got["amount_over_mean"] == pytest.approx(row["amount"] / before["amount"].mean())


def test_training_labels_are_known_before_the_test_rows_begin(rows):
    train, test, labels = split(rows)
    assert rows.loc[train, "time"].max() < rows.loc[test, "time"].min()
    reported = rows["time"] + pd.to_timedelta(rows["reported_after_days"], unit="D")
    assert (reported[labels == 1] < rows.loc[test, "time"].min()).all()
    assert labels[train].sum() > 0


def test_risk_over_all_banks_rows_finds_compromised_terminals_better_than_over_own(rows):
    part = rows[rows["fraud_type"].isna() | (rows["fraud_type"] == "compromised_terminal")]
    everyone = terminal_risk(part, rows)["terminal_risk_28d"]
    own = pd.concat([terminal_risk(p, rows[rows["bank"] == bank]) for bank, p in part.groupby("bank")])
    together = average_precision_score(part["fraud"], everyone)
    alone = average_precision_score(part["fraud"], own["terminal_risk_28d"].loc[part.index])
    assert together > 1.4 * alone
