"""`bank-node check-plan`: whether a bank's rows have what a plan learns from, and who is told."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from bank_node.cli import main
from bank_node.errors import DataUnfit
from bank_node.exit_codes import ExitCode
from bank_node.opening import open_node
from examples.simulator import SimulationSettings, simulate
from protocol.plan import Plan
from tests.common.enrolled_home import enrolled_home, train_alone, training_id

NODE_PAGE = Path(__file__).parents[2] / "docs" / "node.md"
TABLE = {"kind": "entity_tables", "entities": ["terminal"], "time": "time", "label": "fraud", "width": 64}
JANUARY = {"first_day": "2026-01-01", "last_day": "2026-01-31"}
TREES = {"kind": "gbdt", "trees": 1}
INPUTS = {"features": [{"kind": "numeric", "name": name} for name in ("amount", "terminal")], "label": "fraud"}


def rows(first, last):
    """One row at noon of every day."""
    time = pd.date_range(first, last) + pd.Timedelta(hours=12)
    return pd.DataFrame({"time": time, "terminal": range(len(time)), "amount": 1.5, "fraud": 0})


@pytest.fixture
def bank(tmp_path):
    return enrolled_home(tmp_path / "home", tmp_path / "rows.parquet")


@pytest.fixture
def check_plan(bank, tmp_path):
    """Runs the command on a table and a plan's `learning`."""

    def run(table, learning, *options):
        table.to_parquet(tmp_path / "rows.parquet")
        (tmp_path / "plan.json").write_text(json.dumps({"name": "terminals", "learning": learning}))
        return CliRunner().invoke(
            main, ["check-plan", str(tmp_path / "plan.json"), "--home", str(bank.folder), *options]
        )

    return run


@pytest.mark.parametrize(("first", "last"), [("2025-01-06", "2025-12-31"), ("2026-02-01", "2026-02-01")])
def test_a_bank_that_has_no_row_of_the_days_takes_no_part_and_only_itself_reads_its_own_days(
    check_plan, bank, first, last
):
    done = check_plan(rows(first, last), TABLE | JANUARY)
    assert done.exit_code == ExitCode.DATA
    assert (
        "column 'time': expected rows of the days that the plan counts, 2026-01-01 to 2026-01-31, got none"
        in done.output
    )
    assert f"this bank's rows are of {first} to {last}" in done.stderr
    said = json.loads(check_plan(rows(first, last), TABLE | JANUARY, "--json").stdout)
    assert f"{first} to {last}" in said["reason"]
    plan = Plan.model_validate({"name": "terminals", "learning": TABLE | JANUARY})
    with open_node(bank) as node, pytest.raises(DataUnfit) as caught:
        node.data.check(plan, max_rows=1000)
    assert first not in str(caught.value)  # what a refusal to the service is made of
    assert last not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "last", "missing"),
    [("2025-06-01", "2026-06-01", 0), ("2026-01-01", "2026-01-31", 0), ("2026-01-06", "2026-06-01", 5),
     ("2026-01-31", "2026-02-01", 30)],
)  # fmt: skip
def test_days_of_which_a_bank_has_no_rows_are_warned_of(check_plan, first, last, missing):
    done = check_plan(rows(first, last), TABLE | JANUARY)
    assert done.exit_code == 0, done.output
    warning = f"no rows of {missing} of the 31 days 2026-01-01 to 2026-01-31; this bank's rows are of {first} to {last}"
    assert (warning in done.stderr) == bool(missing)
    assert ("warning" in done.stderr) == bool(missing)
    found = json.loads(check_plan(rows(first, last), TABLE | JANUARY, "--json").stdout)
    assert found["accepts"]
    assert len(found["warnings"]) == bool(missing)


def test_days_within_are_missed_as_well(check_plan):
    table = rows("2026-01-01", "2026-01-31").drop(index=[9, 20])
    assert "no rows of 2 of the 31 days" in check_plan(table, TABLE | JANUARY).stderr


def split_from(day):
    split = {"test_from": f"{day}T00:00:00"}
    return TREES | {"inputs": INPUTS | {"time": "time", "split": split}}


def test_a_bank_none_of_whose_rows_trains_takes_no_part_and_only_itself_reads_its_own_times(check_plan, bank):
    table = rows("2026-02-01", "2026-02-03").assign(amount=[1, 2, 3])
    done = check_plan(table, split_from("2020-01-01"))
    assert done.exit_code == ExitCode.DATA
    assert "column 'time': expected rows that train the model, by the plan's split, got none" in done.stderr
    assert "this bank's rows are of 2026-02-01 12:00:00 to 2026-02-03 12:00:00" in done.stderr
    plan = Plan.model_validate({"name": "trees", "learning": split_from("2020-01-01")})
    with open_node(bank) as node, pytest.raises(DataUnfit) as caught:
        node.data.check(plan, max_rows=1000)
    assert "2026" not in str(caught.value)
    drift = {"kind": "drift", "inputs": split_from("2020-01-01")["inputs"], "min_rows": 1}
    assert check_plan(table, drift).exit_code == 0  # which compares, and trains nothing


@pytest.mark.parametrize(("day", "warned"), [("2031-01-01", True), ("2026-02-02", False)])
def test_a_bank_that_can_test_nothing_is_warned(check_plan, day, warned):
    done = check_plan(rows("2026-02-01", "2026-02-03").assign(amount=[1, 2, 3]), split_from(day))
    assert done.exit_code == 0, done.output
    assert ("by the plan's split this bank has no test rows; this bank's rows are of" in done.stderr) == warned
    assert ("warning" in done.stderr) == warned


@pytest.mark.parametrize(
    ("amount", "said"),
    [(1.5, "input 'amount': the same value in all"), (None, "input 'amount': missing in all"), ([1.5, None], ""),
     ([1.5, 2.5], "")],
)  # fmt: skip
def test_inputs_that_never_differ_are_warned_of(check_plan, amount, said):
    table = rows("2026-01-01", "2026-01-02").assign(amount=amount)
    done = check_plan(table, TREES | {"inputs": INPUTS})
    assert done.exit_code == 0, done.output
    assert said in done.stderr
    assert done.stderr.count("warning") == bool(said)


def test_the_plans_of_the_nodes_page_fit_the_simulators_files(bank, tmp_path):
    page = NODE_PAGE.read_text()
    tables, trees = (json.JSONDecoder().raw_decode(page, at.start())[0] for at in re.finditer(r'\{"name": ', page))
    simulate(SimulationSettings(customers=200)).for_bank("bank-0").to_parquet(tmp_path / "rows.parquet")
    with open_node(bank) as node:
        assert node.data.check(Plan.model_validate(tables), max_rows=100_000) == []
    train_alone(bank, Plan.model_validate(tables))
    trees["features"]["entity_tables"] = [training_id(1)]
    with open_node(bank) as node:
        assert node.data.check(Plan.model_validate(trees), max_rows=100_000) == []
