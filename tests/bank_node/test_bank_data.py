"""A bank's table against a plan before the bank accepts: what does not fit is refused by dataset, column and remedy."""

import numpy as np
import pandas as pd
import pytest

from bank_node.bank_data import HELD, BankData
from bank_node.data_pin import DataPins
from bank_node.durable import Disk
from bank_node.errors import DataChanged, DataUnfit, PlanInvalid, PolicyRefused
from bank_node.registry import Registry
from bank_node.settings import DatasetSettings
from protocol.plan import Plan
from tests.common.enrolled_home import no_entity_key

TRAINING = "01930000-0000-7000-8000-000000000001"
INPUTS = {
    "features": [
        {"kind": "numeric", "name": "amount"},
        {"kind": "categorical", "name": "channel", "levels": ["shop", "web"]},
        {"kind": "time", "name": "hour", "column": "when", "part": "hour"},
    ],
    "label": "fraud",
}


def rows(n=200):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "amount": rng.exponential(50, n).round(2), "channel": rng.choice(["shop", "web"], n),
            "when": pd.date_range("2026-01-01", periods=n, freq="1h"), "fraud": rng.integers(0, 2, n),
        }
    )  # fmt: skip


def plan(learning=None, **inputs):
    return Plan.model_validate(
        {"name": "cards", "learning": {"kind": "gbdt", "trees": 2, "inputs": INPUTS | inputs} | (learning or {})}
    )


def bank_data(folder, datasets):
    registry, pins = Registry(folder / "models", Disk()), DataPins(folder / "trainings", Disk())
    return BankData(folder, datasets, registry, lambda sealed: sealed, pins)


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """Writes a table as the bank's file, and gives what the node makes of it."""

    def make(frame):
        path = tmp_path / f"transactions.{request.param}"
        frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
        datasets = {"transactions": DatasetSettings(path=path.name)}
        return bank_data(tmp_path, datasets)

    return make


def test_a_table_that_fits_is_kept_for_the_training(table):
    data = table(rows())
    data.check(plan(), max_rows=200, training=TRAINING)
    prepared = data.prepared(TRAINING, plan(), no_entity_key)
    assert prepared.X.shape == (200, 3)
    assert data.prepared(TRAINING, plan(), no_entity_key) is prepared
    np.testing.assert_allclose(prepared.X[:, 0], rows()["amount"].astype(np.float32))
    assert prepared.X[:, 2].tolist() == [hour % 24 for hour in range(200)]


def test_local_times_with_the_offsets_of_summer_and_winter_are_taken_in_utc(table):
    local = ["2026-01-01T00:30:00+01:00", "2026-07-01T00:30:00+02:00"]
    data = table(rows().iloc[:2].assign(when=local))
    data.check(plan(), max_rows=200)
    assert data.prepared(TRAINING, plan(), no_entity_key).X[:, 2].tolist() == [23.5, 22.5]


@pytest.mark.parametrize("change", [{"fraud": 0}, {"fraud": 1}, {"amount": 5.0}, {"amount": np.nan}, {"channel": None}])
def test_a_bank_of_one_class_or_with_dull_columns_takes_part(table, change):
    table(rows().assign(**change)).check(plan(), max_rows=200)


def test_a_table_without_rows_is_refused_and_pinned_for_no_training(table, tmp_path):
    with pytest.raises(
        DataUnfit, match="dataset 'transactions': expected at least one row to take part with, got none"
    ):
        table(rows().iloc[:0]).check(plan(), max_rows=200, training=TRAINING)
    assert DataPins(tmp_path / "trainings", Disk()).of(TRAINING) is None
    table(rows().iloc[:1]).check(plan(), max_rows=200, training=TRAINING)


@pytest.mark.parametrize(
    ("change", "column", "said"),
    [
        ({"channel": "boat"}, "channel", "200 rows with another one"),
        ({"amount": "a lot"}, "amount", r"expected numbers, got 200 rows with other values \(the first in row 1\)"),
        ({"amount": np.inf}, "amount", "finite numbers"),
        ({"amount": 1e300}, "amount", "larger ones"),
        ({"fraud": 2}, "fraud", "200 others"),
        ({"fraud": "suspect"}, "fraud", "others"),
        ({"fraud": None}, "fraud", "a label in every row"),
        ({"when": "soon"}, "when", "ISO 8601"),
        ({"when": pd.NaT}, "when", "a time in every row"),
    ],
)
def test_what_does_not_fit_is_refused_with_plan_or_dataset_and_column_but_no_value(table, change, column, said):
    with pytest.raises(DataUnfit, match=said) as error:
        table(rows().assign(**change)).check(plan(), max_rows=200)
    assert error.value.column == column
    assert f"column {column!r}" in str(error.value)
    assert "'cards'" in str(error.value) or "'transactions'" in str(error.value)
    for value in ("boat", "a lot", "suspect", "soon"):
        assert value not in str(error.value)


@pytest.mark.parametrize("column", ["amount", "channel", "when", "fraud"])
def test_a_column_that_is_not_there_is_named(table, column):
    with pytest.raises(DataUnfit, match=f"column '{column}'") as error:
        table(rows().drop(columns=column)).check(plan(), max_rows=200)
    assert error.value.column == column


def test_what_only_the_first_sum_would_show_is_known_before_the_bank_accepts(table):
    with pytest.raises(DataUnfit, match="max_rows") as error:
        table(rows()).check(plan({"max_rows": 64}), max_rows=200)
    assert error.value.column == "rows"
    heavy = table(rows().assign(w=1e6))
    with pytest.raises(DataUnfit, match="divide all weights") as error:
        heavy.check(plan(weight="w"), max_rows=200)
    assert error.value.column == "w"
    with pytest.raises(PolicyRefused, match="'max_rows'") as own:
        table(rows()).check(plan(), max_rows=199)
    assert "200" in own.value.in_full()
    assert "200" not in str(own.value)  # how many rows a bank has is not the operator's to know


def test_a_misspelt_column_is_told_from_what_was_meant_but_not_to_the_operator(table):
    with pytest.raises(DataUnfit, match="column 'channel'") as error:
        table(rows().rename(columns={"channel": "chanel"})).check(plan(), max_rows=200)
    assert "did they mean 'chanel'" in error.value.in_full()
    assert "chanel" not in str(error.value)


def test_node_toml_is_named_only_where_it_can_help(table):
    features = plan().features.model_copy(update={"entity_tables": ["00000000-0000-4000-8000-000000000000"]})
    with pytest.raises(DataUnfit, match="only the operator can help"):
        table(rows()).check(plan().model_copy(update={"features": features}), max_rows=200)
    with pytest.raises(DataUnfit, match="expected numbers") as error:
        table(rows().assign(amount="much")).check(plan(), max_rows=200)
    assert "node.toml" not in error.value.in_full()


@pytest.mark.parametrize(
    ("learning", "field", "said"),
    [
        ({"kind": "gbtd"}, "learning.kind", "expected one of 'gbdt', .*, got 'gbtd'; did you mean gbdt\\?"),
        ({}, "learning.kind", "the name of an algorithm, got none"),
        ({"kind": ["gbdt"]}, "learning.kind", "kind"),
        ({"kind": "gbdt"}, "learning.inputs", "expected a value, got none"),
        ({"kind": "gbdt", "inputs": "all"}, "learning.inputs", 'expected an object, got "all"'),
        ({"kind": "entity_tables"}, "learning.entities", "expected a value, got none"),
        ({"kind": "drift", "inputs": INPUTS}, "learning", "test rows"),
        ({"kind": "gbdt", "inputs": INPUTS, "max_depth": 99}, "learning.max_depth", "less than or equal to 12, got 99"),
        ({"kind": "gbdt", "inputs": INPUTS, "early_stopping_rounds": 5}, "learning", "early_stopping_rounds"),
        ({"kind": "gbdt", "inputs": INPUTS, "treees": 5}, "learning.treees", "no such field; did you mean trees\\?"),
    ],
)
def test_settings_that_no_algorithm_has_are_refused_by_their_field(table, learning, field, said):
    wrong = Plan.model_validate({"name": "cards", "learning": learning})
    with pytest.raises(PlanInvalid, match=said) as error:
        table(rows()).check(wrong, max_rows=200)
    assert error.value.field == field
    assert "plan 'cards'" in str(error.value)


def test_a_dataset_that_the_node_does_not_have_is_named(table):
    other = plan().model_copy(update={"features": plan().features.model_copy(update={"dataset": "transfers"})})
    with pytest.raises(DataUnfit, match="'transfers' in node\\.toml, got no such name"):
        table(rows()).check(other, max_rows=200)


def test_a_column_twice_in_a_file_is_refused_and_not_taken_from_its_first_place(tmp_path):
    path = tmp_path / "transactions.csv"
    path.write_text("amount,channel,when,fraud,amount\n1.0,web,2026-01-01,0,9.0\n2.0,web,2026-01-01,1,8.0\n")
    datasets = {"transactions": DatasetSettings(path=path.name)}
    data = bank_data(tmp_path, datasets)
    with pytest.raises(DataUnfit, match="two of one name") as caught:
        data.check(plan(), max_rows=200)
    assert caught.value.only_here == "columns 'amount' and 'amount' are both called 'amount'"


def other(number):
    return f"01930000-0000-7000-8000-{number:012d}"


def test_a_training_goes_on_with_its_own_rows_or_not_at_all(tmp_path):
    path = tmp_path / "transactions.csv"
    rows().to_csv(path, index=False)
    datasets = {"transactions": DatasetSettings(path=path.name)}
    bank_data(tmp_path, datasets).check(plan(), max_rows=200, training=TRAINING)

    tonight = rows().assign(amount=1.0)
    tonight.to_csv(path, index=False)  # the nightly export, and then a restart
    restarted = bank_data(tmp_path, datasets)
    with pytest.raises(DataChanged, match="the rows with which this bank has accepted it") as caught:
        restarted.prepared(TRAINING, plan(), no_entity_key)
    assert "put the file of that time back" in str(caught.value)
    restarted.check(plan(), max_rows=200, training=other(2))  # the next training takes the new rows
    assert restarted.prepared(other(2), plan(), no_entity_key).X[0, 0] == 1.0
    with pytest.raises(DataChanged):
        restarted.prepared(TRAINING, plan(), no_entity_key)

    rows().to_csv(path, index=False)  # the same rows, written another time
    np.testing.assert_allclose(
        restarted.prepared(TRAINING, plan(), no_entity_key).X[:, 0], rows()["amount"].astype(np.float32)
    )


def test_a_column_that_is_renamed_otherwise_since_is_other_data(tmp_path):
    path = tmp_path / "transactions.csv"
    rows().assign(net=1.0).to_csv(path, index=False)
    bank_data(tmp_path, {"transactions": DatasetSettings(path=path)}).check(plan(), max_rows=200, training=TRAINING)
    renamed = DatasetSettings(path=path, rename={"amount": "gross", "net": "amount"})
    with pytest.raises(DataChanged, match="its settings were changed"):
        bank_data(tmp_path, {"transactions": renamed}).prepared(TRAINING, plan(), no_entity_key)


def test_trainings_side_by_side_keep_their_rows_in_memory(tmp_path):
    path = tmp_path / "transactions.csv"
    rows().to_csv(path, index=False)
    data = bank_data(tmp_path, {"transactions": DatasetSettings(path=path.name)})
    for number in range(HELD):
        data.check(plan(), max_rows=200, training=other(number))
    first = [data.prepared(other(number), plan(), no_entity_key) for number in range(HELD)]
    data.forget(other(0))
    path.unlink()  # nobody reads it for those that are held
    assert [data.prepared(other(number), plan(), no_entity_key) for number in range(1, HELD)] == first[1:]
    with pytest.raises(DataUnfit, match="expected its file, got none"):
        data.prepared(other(0), plan(), no_entity_key)


def test_of_more_trainings_than_are_held_the_one_that_was_not_used_for_longest_is_read_again(tmp_path):
    path = tmp_path / "transactions.csv"
    rows().to_csv(path, index=False)
    data = bank_data(tmp_path, {"transactions": DatasetSettings(path=path.name)})
    first = [data.prepared(other(number), plan(), no_entity_key) for number in range(HELD)]
    data.prepared(other(0), plan(), no_entity_key)
    data.prepared(other(HELD), plan(), no_entity_key)
    assert data.prepared(other(0), plan(), no_entity_key) is first[0]
    again = data.prepared(other(1), plan(), no_entity_key)
    assert again is not first[1]
    np.testing.assert_array_equal(again.X, first[1].X)
