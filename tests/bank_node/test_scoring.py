"""`bank-node score`: the same features as in training, every kind of model, and a file of scores that is whole."""

import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bank_node.cli import main
from bank_node.durable import Disk
from bank_node.exit_codes import ExitCode
from bank_node.in_force import InForce
from bank_node.look_back import look_back
from bank_node.registry import Registry
from learning.algorithms import AnySettings
from learning.errors import DataRejected
from learning.models import OTHERS, READERS
from protocol.features import FeatureRecipe
from protocol.plan import Plan
from tests.common.enrolled_home import enrolled_home, train_alone

DAYS, LAST = 60, "2026-03-01"
NAMES = {"CUSTOMER_ID": "customer", "TX_DATETIME": "time", "TX_AMOUNT": "amount", "TX_FRAUD": "fraud"}
PROFILES = {"customer": "customer", "time": "time", "amount": "amount", "profile_windows_days": [1, 7, 30]}
INPUTS = {
    "features": [
        {"kind": "numeric", "name": name}
        for name in ("amount", "customer_count_7d", "customer_ratio_30d", "customer_hours_since_last")
    ],
    "label": "fraud",
    "split": {"test_share": 0.3},
}
TABLE = {
    "kind": "entity_tables", "entities": ["terminal"], "time": "time", "label": "fraud", "first_day": "2026-01-01",
    "last_day": "2026-02-28", "width": 64,
}  # fmt: skip


def transactions(seed=0, customers=40, n=3000):
    """Rows in the order of time; a customer who pays far more than usual is often a fraud."""
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, DAYS * 24 * 60, n))
    customer = rng.integers(0, customers, n)
    unusual = rng.random(n) < 0.1
    frame = pd.DataFrame(
        {
            "transaction": [f"{number:07d}" for number in range(n)],
            "customer": customer,
            "terminal": rng.integers(0, 30, n),
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(minutes, unit="min"),
            "amount": (rng.exponential(20 + customer) * np.where(unusual, 6, 1)).round(2),
            "fraud": (unusual & (rng.random(n) < 0.7)).astype(int),
        }
    )
    # A customer who pays the same twice in a minute: two transactions, not one.
    frame.loc[n - 1] = frame.loc[n - 2].where(frame.columns != "transaction", "0009999")
    return frame


def plan(kind="gbdt", *, name="card-fraud", features=PROFILES, **learning):
    settings = {
        "gbdt": {"trees": 4, "max_depth": 3}, "random_gbdt": {"trees": 8, "edges": "sketched"}, "logistic": {},
        "fedavg": {"rounds": 2}, "drift": {},
    }  # fmt: skip
    content = TABLE if kind == "entity_tables" else {"kind": kind, "inputs": INPUTS} | settings[kind]
    return Plan.model_validate({"name": name, "learning": content | learning, "features": features})


@pytest.fixture
def rows():
    return transactions()


@pytest.fixture
def bank(tmp_path, rows):
    """The bank's home, and its rows as its own file calls them."""
    rows.rename(columns={new: old for old, new in NAMES.items()}).to_csv(tmp_path / "export.dat", index=False)
    rename = ", ".join(f"{old} = {json.dumps(new)}" for old, new in NAMES.items())
    return enrolled_home(tmp_path / "home", tmp_path / "export.dat", more=f'format = "csv"\nrename = {{ {rename} }}\n')


def bank_node(bank, *arguments):
    done = CliRunner().invoke(main, [*arguments, "--home", str(bank.folder)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def write(path, rows, *, own_names=True):
    called = rows.rename(columns={new: old for old, new in NAMES.items()}) if own_names else rows
    called.to_csv(path, index=False)
    return str(path)


def score(bank, tmp_path, file, *more, stderr=""):
    out = tmp_path / "scores.csv"
    done = bank_node(bank, "score", file, "--out", str(out), "--json", *more)
    assert done.exit_code == 0, done.output
    assert stderr in done.stderr
    return pd.read_csv(out, dtype={"transaction": str}), json.loads(done.stdout)


@pytest.mark.parametrize("day_is_in_the_dataset", [True, False])
def test_a_days_scores_are_those_of_its_rows_within_the_whole_file(bank, tmp_path, rows, day_is_in_the_dataset):
    train_alone(bank, plan())
    whole, _ = score(bank, tmp_path, write(tmp_path / "all.dat", rows))
    is_last = (rows["time"] >= LAST).to_numpy()
    day = rows[is_last].drop(columns="fraud")  # new rows have no label yet
    if not day_is_in_the_dataset:
        write(tmp_path / "export.dat", rows[~is_last])
    alone, summary = score(bank, tmp_path, write(tmp_path / "today.dat", day))
    np.testing.assert_array_equal(alone["fraud_probability"], whole["fraud_probability"][is_last])
    assert len(set(alone["fraud_probability"])) > 5
    assert summary["warnings"] == []
    history = summary["history"]
    assert history["dataset"] == "transactions"
    assert history["rows"] == (~is_last).sum()
    assert history["from"] == rows["time"].min().isoformat()
    assert 58 < history["days"] < 60


def test_some_rows_of_a_day_look_back_on_the_others(bank, tmp_path, rows):
    train_alone(bank, plan())
    whole, _ = score(bank, tmp_path, write(tmp_path / "all.dat", rows))
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[-200::3] = True
    alone, _ = score(bank, tmp_path, write(tmp_path / "some.dat", rows[chosen].sample(frac=1, random_state=1)))
    expected = whole.assign(i=range(len(whole)))[chosen].sample(frac=1, random_state=1)["fraud_probability"]
    np.testing.assert_array_equal(alone["fraud_probability"], expected)


def test_customers_that_one_file_has_as_numbers_and_the_other_as_text_are_the_same(bank, tmp_path, rows):
    train_alone(bank, plan())
    day = rows[rows["time"] >= LAST]
    expected, _ = score(bank, tmp_path, write(tmp_path / "today.dat", day))
    mixed = rows.astype({"customer": object})
    mixed.loc[0, "customer"] = "company-7"
    write(tmp_path / "export.dat", mixed)
    found, summary = score(bank, tmp_path, write(tmp_path / "today.dat", day))
    assert (found["fraud_probability"] == expected["fraud_probability"]).mean() > 0.9
    assert summary["warnings"] == []


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda rows: rows[rows["time"] >= "2026-02-20"], "look back 30 days, the earlier rows reach back 9.0 days"),
        (lambda rows: rows.iloc[:0], "look back 30 days, the earlier rows reach back 0.0 days"),
        (lambda rows: rows[rows["time"] < "2026-02-25"], "no rows of the 4.0 days before the first row to score"),
        (lambda rows: rows.assign(customer="x" + rows["customer"].astype(str)), "none of the customers"),
    ],
)
def test_a_history_that_is_too_short_or_of_others_is_warned_of(bank, tmp_path, rows, kept, said):
    train_alone(bank, plan())
    write(tmp_path / "export.dat", kept(rows))
    _, summary = score(bank, tmp_path, write(tmp_path / "today.dat", rows[rows["time"] >= LAST]))
    (warning,) = summary["warnings"]
    assert said in warning
    assert "dataset 'transactions', column 'time'" in warning
    shown = bank_node(bank, "score", str(tmp_path / "today.dat"), "--out", str(tmp_path / "s.csv"))
    assert said in shown.stderr
    assert "rows of dataset 'transactions'" in shown.stdout


def test_every_kind_of_learning_either_scores_or_says_what_it_is():
    kinds = {get_args(settings.model_fields["kind"].annotation)[0] for settings in get_args(AnySettings)}
    assert set(READERS) | set(OTHERS) == kinds
    assert not set(READERS) & set(OTHERS)


@pytest.mark.parametrize("kind", sorted(READERS))
def test_a_model_of_every_kind_scores_as_it_does_in_memory(bank, tmp_path, rows, kind):
    entry = train_alone(bank, plan(kind))
    found, summary = score(bank, tmp_path, write(tmp_path / "today.dat", rows[rows["time"] >= LAST]))
    assert (summary["digest"], summary["rows"]) == (entry.digest, len(found))
    assert found["fraud_probability"].between(0, 1).all()
    assert len(set(found["fraud_probability"])) > 1


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_what_is_no_model_is_refused_in_words_and_not_taken_for_the_newest(bank, tmp_path, rows, kind):
    features = {} if kind == "entity_tables" else PROFILES
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST])
    train_alone(bank, plan(kind, name="other", features={"time": "time", **features}), 2)
    done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"))
    assert done.exit_code == ExitCode.MODEL
    assert "expected a released model that scores, got none" in done.stderr
    entry = train_alone(bank, plan(), 1)  # older than the other
    assert score(bank, tmp_path, file)[1]["digest"] == entry.digest
    done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"), "--model", "other")
    assert done.exit_code == ExitCode.MODEL
    assert OTHERS[kind] in done.stderr


def test_a_model_is_named_by_its_name_or_six_characters_of_its_digest(bank, tmp_path, rows):
    first, second = train_alone(bank, plan(), 1), train_alone(bank, plan(trees=2, name="small"), 2)
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST])
    assert score(bank, tmp_path, file)[1]["digest"] == second.digest
    for name in ("card-fraud", first.digest, first.digest[:6]):
        assert score(bank, tmp_path, file, "--model", name)[1]["digest"] == first.digest
    for name in (first.digest[:5], "", "nobody"):
        done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"), "--model", name)
        assert done.exit_code == ExitCode.MODEL
        assert "a model's name (card-fraud, small)" in done.stderr


def test_of_several_models_in_force_the_newest_scores_and_the_others_are_said(bank, tmp_path, rows):
    cards, small = train_alone(bank, plan(), 1), train_alone(bank, plan(trees=2, name="small"), 2)
    train_alone(bank, plan("drift", name="report"), 3)  # in force or not, it does not score
    reports = {entry.name: entry.digest for entry in Registry(bank.models, Disk()).entries()}
    InForce(bank.models, Disk()).note(reports)
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST])
    found = score(bank, tmp_path, file, stderr=f"scored with small ({small.digest[:16]}), the newest in force; also")[1]
    assert (found["model"], found["training"]) == ("small", small.training)
    assert found["also_in_force"] == [{"model": "card-fraud", "digest": cards.digest}]
    assert score(bank, tmp_path, file, "--model", "small")[1]["also_in_force"] == []  # somebody has said which
    InForce(bank.models, Disk()).note({"small": small.digest})
    assert score(bank, tmp_path, file)[1]["also_in_force"] == []


def test_a_model_that_was_withdrawn_scores_only_where_its_digest_is_named(bank, tmp_path, rows):
    entry = train_alone(bank, plan())
    InForce(bank.models, Disk()).note({"card-fraud": None})
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST])
    for more in ([], ["--model", "card-fraud"]):
        done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"), *more)
        assert done.exit_code == ExitCode.MODEL
        assert "model card-fraud: expected one in force, got none: the operator has withdrawn it" in done.stderr
        assert not (tmp_path / "s.csv").exists()
    assert score(bank, tmp_path, file, "--model", entry.digest[:8])[1]["digest"] == entry.digest
    assert "  withdrawn" in bank_node(bank, "models").output


def test_identifiers_pass_through_as_they_are_written_and_the_highest_scores_are_alerts(bank, tmp_path, rows):
    train_alone(bank, plan())
    file = write(tmp_path / "all.dat", rows)
    found, summary = score(bank, tmp_path, file, "--id-column", "transaction", "--alerts", "1%")
    assert found["transaction"].tolist() == rows["transaction"].tolist()
    probabilities = found["fraud_probability"].to_numpy()
    threshold = summary["alerts"]["threshold"]
    assert threshold == np.sort(probabilities)[-len(rows) // 100]
    np.testing.assert_array_equal(found["alert"], probabilities >= threshold)
    assert found["alert"].sum() == summary["alerts"]["rows"] >= len(rows) // 100
    amounts, _ = score(bank, tmp_path, file, "--id-column", "TX_AMOUNT")
    np.testing.assert_array_equal(amounts["TX_AMOUNT"], rows["amount"])
    np.testing.assert_array_equal(amounts["fraud_probability"], probabilities)


def test_numbers_with_gaps_pass_through_a_parquet_file_as_whole_numbers(bank, tmp_path, rows):
    train_alone(bank, plan())
    day = rows[rows["time"] >= LAST].rename(columns={new: old for old, new in NAMES.items()})
    numbers = pd.array(range(10**17, 10**17 + len(day)), dtype="Int64")
    numbers[0] = pd.NA
    day.assign(number=numbers).to_parquet(tmp_path / "today.parquet")
    (tmp_path / "export.dat").rename(tmp_path / "export.csv")
    settings = bank.settings.read_text().replace("export.dat", "export.csv").replace('format = "csv"\n', "")
    bank.settings.write_text(settings)
    score(bank, tmp_path, str(tmp_path / "today.parquet"), "--id-column", "number")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[1].startswith("0,,")
    assert lines[2].startswith(f"1,{10**17 + 1},")


@pytest.mark.parametrize(
    ("share", "marked"), [("1%", 30), ("0.01", 30), (" 0.01 ", 30), ("0.5%", 15), ("0.5", 1500), ("100%", 3000)]
)
def test_a_share_of_alerts_is_a_part_of_the_rows(bank, tmp_path, rows, share, marked):
    train_alone(bank, plan())
    file = write(tmp_path / "all.dat", rows)
    found, summary = score(bank, tmp_path, file, "--alerts", share)
    assert summary["alerts"]["threshold"] == np.sort(found["fraud_probability"])[-marked]
    said = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"), "--alerts", share).stdout
    assert f"alerts: {found['alert'].sum()} of 3000 rows, with a score of " in said


@pytest.mark.parametrize("share", ["0%", "101%", "-1%", "1", "1.0", " 1 ", "2", "many", "nan"])
def test_a_share_of_alerts_that_is_none_is_refused(bank, tmp_path, rows, share):
    done = bank_node(bank, "score", str(tmp_path / "export.dat"), "--out", str(tmp_path / "s.csv"), "--alerts", share)
    assert done.exit_code == ExitCode.USAGE
    said = " ".join(done.stderr.split())
    assert "such as 1%, or below 1 such as 0.01 for the same; all of them are 100%; got" in said


def test_an_output_that_cannot_be_written_is_refused_before_the_work_and_nothing_half_written_is_left(
    bank, tmp_path, rows
):
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST])
    done = bank_node(bank, "score", file, "--out", str(tmp_path / "nowhere" / "s.csv"))  # no model either: told later
    assert done.exit_code == ExitCode.USAGE
    assert f"there is no folder {tmp_path / 'nowhere'}" in done.stderr
    train_alone(bank, plan())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "s.csv").write_text("yesterday's")
    for wrong in (["--id-column", "nobody"], ["--model", "nobody"]):
        assert bank_node(bank, "score", file, "--out", str(tmp_path / "out" / "s.csv"), *wrong).exit_code != 0
        assert (tmp_path / "out" / "s.csv").read_text() == "yesterday's"
    assert bank_node(bank, "score", file, "--out", str(tmp_path / "out" / "s.csv")).exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["s.csv"]


@pytest.mark.parametrize(
    ("change", "column"),
    [({"amount": "much"}, "amount"), ({"time": "soon"}, "time"), ({"customer": None}, None), ({"amount": None}, None)],
)
def test_rows_that_do_not_fit_are_refused_by_column(bank, tmp_path, rows, change, column):
    train_alone(bank, plan())
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST].assign(**change))
    done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"))
    assert done.exit_code == (ExitCode.DATA if column else 0), done.output
    if column:
        assert f"column {column!r}" in done.stderr


@pytest.mark.parametrize("listed", ["the file", "the dataset"])
def test_customers_that_are_lists_are_refused_by_row(rows, listed):
    today = rows[rows["time"] >= LAST]
    file, dataset = today.astype({"customer": object}), rows.astype({"customer": object})
    part = file if listed == "the file" else dataset
    part["customer"] = [[name] if place >= 2 else name for place, name in enumerate(part["customer"])]
    recipe = FeatureRecipe.model_validate(PROFILES | {"dataset": "transactions"})
    with pytest.raises(DataRejected, match=r"customer.*identifiers.*row 3"):
        look_back(file, dataset, recipe)


def test_without_a_dataset_there_is_nothing_to_look_back_on(bank, tmp_path, rows):
    train_alone(bank, plan())
    train_alone(
        bank, plan(name="plain", features={"time": "time"}, inputs=INPUTS | {"features": INPUTS["features"][:1]}), 2
    )
    (bank.folder / "node.toml").write_text('url = "http://127.0.0.1:9"\nname = "bank-a"\n')
    file = write(tmp_path / "today.csv", rows[rows["time"] >= LAST], own_names=False)
    done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"), "--model", "card-fraud")
    assert done.exit_code == ExitCode.DATA
    assert "a dataset 'transactions' in node.toml" in done.stderr
    score(bank, tmp_path, file, "--model", "plain")


def test_a_damaged_registry_is_said_and_not_raised(bank, tmp_path, rows):
    entry = train_alone(bank, plan())
    file = write(tmp_path / "today.dat", rows[rows["time"] >= LAST])
    for name in ("current.json", f"{entry.digest}/model.bin", f"{entry.digest}/entry.json"):
        path = bank.folder / "models" / name
        kept = path.read_bytes()
        path.write_bytes(b"{\xff")
        done = bank_node(bank, "score", file, "--out", str(tmp_path / "s.csv"), "--model", "card-fraud")
        assert done.exit_code == ExitCode.HOME
        assert str(path) in done.stderr
        path.write_bytes(kept)
