"""The simulated payments: repeatable, as distributed as docs/simulator.md says, and different from bank to bank."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from examples.simulator import SimulationSettings, UnknownBank, simulate
from examples.simulator.__main__ import main
from examples.simulator.traffic import DAILY_GROWTH
from examples.simulator.vocabulary import CHANNELS, TYPOLOGIES
from examples.simulator.writing import COLUMNS

SMALL = SimulationSettings(customers=300, terminals=200, days=30)
#: Of the CSV of SMALL's transactions. It changes only when what is simulated is meant to change.
SMALL_DIGEST = "02d2629d7d991b1391cf95da1e8de5a726c9499c4e06b8070c5e2ba427d7bec4"


@pytest.fixture(scope="module")
def simulation():
    return simulate(SimulationSettings(customers=4000, terminals=1000, days=120, seed=11))


@pytest.fixture(scope="module")
def rows(simulation):
    return simulation.transactions


def test_same_settings_give_the_same_rows_on_every_machine():
    text = simulate(SMALL).transactions.to_csv(index=False)
    assert hashlib.sha256(text.encode()).hexdigest() == SMALL_DIGEST


def test_another_seed_gives_other_rows():
    one, other = (simulate(SMALL.model_copy(update={"seed": seed})).transactions for seed in (1, 2))
    assert len(one) != len(other) or not one["amount"].equals(other["amount"])


def test_columns_have_the_types_that_the_documentation_names(rows):
    assert list(rows.columns) == list(COLUMNS)
    assert rows["transaction_id"].dtype == np.int64
    assert rows["time"].dtype == np.dtype("datetime64[ns]")
    assert rows["fraud"].dtype == np.int8
    assert rows["abroad"].dtype == np.bool_
    assert list(rows["channel"].cat.categories) == list(CHANNELS)
    assert (rows["amount"] >= 0.01).all()
    assert np.array_equal(rows["abroad"], rows["country"] != "NL")


def test_rows_are_in_order_of_time_and_within_the_days(simulation, rows):
    assert rows["time"].is_monotonic_increasing
    assert np.array_equal(rows["transaction_id"], np.arange(len(rows)))
    start = pd.Timestamp(simulation.settings.start)
    assert rows["time"].iloc[0] >= start
    assert rows["time"].iloc[-1] < start + pd.Timedelta(days=simulation.settings.days)


def test_banks_parts_make_up_the_whole(simulation, rows):
    parts = [simulation.for_bank(bank) for bank in simulation.banks]
    whole = pd.concat(parts).sort_values("transaction_id").reset_index(drop=True)
    assert whole.equals(rows)


def test_a_customer_has_one_bank_but_terminals_serve_several(rows):
    pairs = rows[["customer", "bank"]].drop_duplicates()
    assert pairs["customer"].is_unique
    banks = rows.groupby("terminal")["bank"].nunique()
    assert (banks > 1).mean() > 0.9


def test_an_unknown_bank_is_named(simulation):
    with pytest.raises(UnknownBank, match="got 'bank-9'") as caught:
        simulation.for_bank("bank-9")
    assert caught.value.banks == ("bank-0", "bank-1", "bank-2", "bank-3", "bank-4")


@pytest.mark.parametrize("rate", [0.003, 0.008, 0.02])
def test_the_fraud_rate_is_what_was_aimed_at(rate):
    rows = simulate(SimulationSettings(customers=2000, days=60, seed=3, fraud_rate=rate)).transactions
    frauds = rows["fraud"].sum()
    assert frauds / (len(rows) - frauds) == pytest.approx(rate, rel=0.3)


def test_no_frauds_at_a_rate_of_zero():
    rows = simulate(SMALL.model_copy(update={"fraud_rate": 0.0})).transactions
    assert rows["fraud"].sum() == 0
    assert rows["fraud_type"].isna().all()


def test_each_typology_has_about_its_share(rows):
    share = rows["fraud_type"].value_counts(normalize=True)
    assert set(share.index) == set(TYPOLOGIES)
    for name, typology in TYPOLOGIES.items():
        assert share[name] == pytest.approx(typology.weight, rel=0.5), name


def test_labels_and_delays_stand_beside_frauds_only(rows):
    fraud = rows["fraud"] == 1
    assert rows["fraud_type"].notna().equals(fraud)
    assert rows["reported_after_days"].notna().equals(fraud)
    means = rows.groupby("fraud_type")["reported_after_days"].mean()
    for name, typology in TYPOLOGIES.items():
        assert means[name] == pytest.approx(typology.report_days, rel=0.2), name


def test_counts_by_customer_are_spread_more_than_poisson(rows):
    counts = rows[rows["fraud"] == 0].groupby("customer").size()
    assert counts.var() > 5 * counts.mean()


def test_amounts_of_a_category_are_lognormal(rows):
    logarithm = np.log(rows.loc[(rows["merchant_category"] == "groceries") & (rows["fraud"] == 0), "amount"])
    assert abs(logarithm.skew()) < 0.2
    assert abs(logarithm.kurt()) < 0.5


def test_fewer_payments_at_night_and_more_on_fridays(rows):
    hours = rows["time"].dt.hour.value_counts(normalize=True)
    assert hours[[2, 3, 4]].sum() < 0.03
    assert hours[[11, 12, 13, 17, 18]].sum() > 0.3
    weekdays = rows["time"].dt.day_of_week.value_counts()
    assert weekdays[4] > 1.2 * weekdays[0]


def test_spending_grows(rows):
    real = rows[rows["fraud"] == 0]
    day = (real["time"] - real["time"].iloc[0]).dt.days
    slope, level = np.polyfit(day, np.log(real["amount"]), 1)
    assert level > 0
    assert slope == pytest.approx(DAILY_GROWTH, rel=0.35)


def test_devices_stand_beside_online_payments_only_and_are_missing_now_and_then(rows):
    assert rows.loc[rows["channel"] != "online", "device"].isna().all()
    missing = rows[rows["channel"] == "online"].groupby("bank")["device"].apply(lambda d: d.isna().mean())
    assert (missing > 0.01).all()
    assert missing.max() > 1.3 * missing.min()


def test_banks_differ_in_size_segments_channels_and_typologies(rows):
    sizes = rows["bank"].value_counts()
    assert sizes["bank-0"] > 2 * sizes["bank-4"]
    by_bank = rows.groupby("bank")
    online = by_bank["channel"].apply(lambda c: (c == "online").mean())
    assert online.max() > 1.1 * online.min()
    amount = by_bank["amount"].median()
    assert amount.max() > 1.1 * amount.min()
    mix = pd.crosstab(rows["bank"], rows["fraud_type"], normalize="index")
    assert (mix.max() > 1.5 * mix.min()).all()


def test_a_compromised_terminal_defrauds_several_banks_customers_for_weeks(rows):
    part = rows[rows["fraud_type"] == "compromised_terminal"]
    by_terminal = part.groupby("terminal")
    assert by_terminal["bank"].nunique().mean() > 2
    length = (by_terminal["time"].max() - by_terminal["time"].min()).dt.days
    assert length.max() <= 48
    assert length.median() > 7
    # Its frauds pass for the genuine payments: the amounts are about those at the same terminals.
    genuine = rows[(rows["fraud"] == 0) & rows["terminal"].isin(part["terminal"])]
    assert part["amount"].median() == pytest.approx(genuine["amount"].median(), rel=0.5)


def test_new_terminals_are_compromised_all_the_time(rows):
    part = rows[rows["fraud_type"] == "compromised_terminal"]
    first = part.groupby("terminal")["time"].min()
    day = (first - rows["time"].iloc[0]).dt.days
    assert (np.histogram(day, bins=[0, 30, 60, 90, 120])[0] >= 3).all()


def test_the_late_typology_begins_at_one_bank_and_spreads(rows):
    first = rows[rows["fraud_type"] == "phone_order"].groupby("bank")["time"].min()
    day = np.sort((first - rows["time"].iloc[0]).dt.days)
    assert day[0] >= 58
    assert day[-1] - day[0] > 25


def test_a_taker_overs_device_attacks_several_banks(rows):
    part = rows[(rows["fraud_type"] == "account_takeover") & rows["device"].notna()]
    victims = part.groupby("device")["customer"].nunique()
    assert victims.mean() > 3
    assert part.groupby("device")["bank"].nunique().max() > 1
    genuine = rows[(rows["fraud"] == 0) & rows["device"].notna()]
    assert not set(part["device"]) & set(genuine["device"])


def test_card_testing_is_small_and_fast(rows):
    part = rows[rows["fraud_type"] == "card_testing"]
    assert part["amount"].max() <= 6.0
    by_day = part.groupby(["terminal", part["time"].dt.date]).size()
    assert by_day.max() >= 10


@pytest.mark.parametrize(
    ("field", "value"),
    [("banks", 0), ("customers", 5), ("terminals", 10), ("days", 2), ("fraud_rate", 0.9), ("seed", -1)],
)
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(ValidationError) as caught:
        SimulationSettings.model_validate({field: value})
    assert caught.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize("banks", [1, 2, 20])
def test_every_bank_has_rows_however_many_there_are(banks):
    simulation = simulate(SimulationSettings(banks=banks, customers=300, terminals=50, days=14, seed=0))
    assert all(len(simulation.for_bank(bank)) > 0 for bank in simulation.banks)


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_the_command_writes_each_banks_table_and_what_it_holds(tmp_path, file_format):
    arguments = ["--customers", "300", "--terminals", "200", "--days", "30", "--format", file_format]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "out" / "metadata.json").read_text())
    simulation = simulate(SMALL)
    for bank in simulation.banks:
        path = tmp_path / "out" / f"{bank}.{file_format}"
        written = pd.read_parquet(path) if file_format == "parquet" else pd.read_csv(path)
        expected = simulation.for_bank(bank)
        assert list(written.columns) == list(facts["columns"])
        assert facts["banks"][bank]["transactions"] == len(expected)
        assert facts["banks"][bank]["fraud_rate"] == pytest.approx(expected["fraud"].mean())
        assert np.array_equal(written["amount"], expected["amount"])
        assert written["device"].isna().equals(expected["device"].isna())


def test_the_command_names_each_wrong_option(tmp_path):
    result = CliRunner().invoke(main, ["--banks", "0", "--start", "soon", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "--banks: input should be greater than or equal to 1, got 0" in result.output
    assert "--start" in result.output
    assert not list(tmp_path.iterdir())


def test_the_command_says_when_the_folder_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["--customers", "20", "--days", "14", "--out", str(tmp_path / "file" / "out")])
    assert result.exit_code == 1
    assert "--out: Not a directory" in result.output
