"""The short scripts run as a reader would run them, and print what they promise."""

import importlib
import re

import pytest
from click.testing import CliRunner

from examples import banks
from examples.simulator import SimulationSettings
from examples.simulator.sanity import main as sanity


@pytest.fixture(autouse=True, scope="module")
def _kept_tables():
    """The tables are simulated once; every script gets its own copies."""
    tables = banks.tables()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banks, "tables", lambda: {bank: rows.copy() for bank, rows in tables.items()})
        yield


def run(name, capsys):
    module = importlib.reload(importlib.import_module(f"examples.{name}"))
    module.main()
    return capsys.readouterr().out


def figures(text):
    return [float(found) for found in re.findall(r"\b0\.\d{3}\b", text)]


def test_gbdt_gains_over_most_banks_alone(capsys):
    text = run("gbdt", capsys)
    pairs = re.findall(r"on bank-\d's: (\S+), trained alone (\S+)", text)
    assert len(pairs) == 5
    assert sum(float(together) for together, _ in pairs) > 1.2 * sum(float(alone) for _, alone in pairs)


def test_logistic_regression_equals_the_pooled_rows(capsys):
    text = run("logistic", capsys)
    assert "logistic.newton" in text
    assert float(re.search(r"pooled rows' model: (\S+)", text).group(1)) < 1e-6


def test_averaging_nears_the_exact_regression_with_more_rounds(capsys):
    exact, *averaged = figures(run("fedavg", capsys))
    assert len(averaged) == 3
    assert abs(averaged[1] - exact) < abs(averaged[0] - exact)


def test_risk_over_all_banks_finds_more(capsys):
    both = figures(run("entity_tables", capsys).partition("mean:")[2])
    assert both[0] > 1.1 * both[1]


def test_drift_names_the_column_that_one_bank_broke(capsys):
    before, after = run("drift", capsys).split("bank-0's amounts times ten")
    assert "\n    amount " not in before
    assert re.search(r"\n    amount +0\.\d+ shifted", after)


def test_evaluation_agrees_with_the_pooled_scores(capsys):
    text = run("evaluation", capsys)
    summed, exact = re.search(r"precision (\S+) \(of the pooled scores themselves: (\S+)\)", text).groups()
    assert float(summed) == pytest.approx(float(exact), rel=0.02)


def test_secure_sum_is_exact(capsys):
    assert run("secure_sum", capsys).endswith("exact: True\n")


def test_curves_are_drawn_and_federated_is_near_pooled(tmp_path):
    module = importlib.reload(importlib.import_module("examples.plot_curves"))
    result = CliRunner().invoke(module.main, ["--out", str(tmp_path / "curves.png")])
    assert result.exit_code == 0, result.output
    alone, federated, pooled = figures(result.output)
    assert federated > 1.2 * alone
    assert federated == pytest.approx(pooled, abs=0.05)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_sanity_prints_both_tables():
    result = CliRunner().invoke(sanity, ["--banks", "2", "--customers", "600", "--terminals", "200", "--days", "40"])
    assert result.exit_code == 0, result.output
    assert "Average precision on the last third of the days" in result.output
    assert result.output.count("all banks' terminal risk") == 2


def test_the_scripts_data_hold_test_rows_of_every_bank():
    assert isinstance(banks.SETTINGS, SimulationSettings)
    for rows in banks.tables().values():
        assert rows.loc[rows["time"] >= banks.TEST_FROM, "fraud"].sum() > 0
        assert (rows["confirmed"] <= rows["fraud"]).all()
