"""The benchmark of learning on tables that anyone might bring: CSV, Parquet, by bank, by time, with entities."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest


def table(rows=3000, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"v{k}": rng.normal(size=rows).astype("float32") for k in range(4)})
    frame.loc[rng.random(rows) < 0.1, "v3"] = np.nan
    frame["id"] = np.arange(rows)
    frame["branch"] = rng.choice(["north", "south", "west"], rows)
    frame["when"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.sort(rng.random(rows)) * 60, unit="D")
    frame["client"] = rng.integers(0, 200, rows)
    frame["shop"] = rng.integers(0, 40, rows)
    frame["sum"] = np.exp(rng.normal(3, 1, rows)).round(2)
    margin = frame["v0"] + frame["v1"] * frame["v2"] + 2.5 * (frame["shop"] % 9 == 0) - 3.5
    frame["is_fraud"] = (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(int)
    return frame


def measure(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.learning", "--trees", "5", "--depth", "3", *arguments, "--json", "-"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done, json.loads(done.stdout) if done.returncode == 0 else None


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "mine.csv"
    table().to_csv(path, index=False)
    return str(path)


def test_trees_under_encryption_beside_everything_else(csv):
    _, found = measure("--data", csv, "--drop", "client", "--drop", "shop", "--time", "when", "--partition", "skewed")
    assert (found["rows"], found["banks"]) == (3000, 5)
    assert found["federated"]["same_model_in_the_clear"]
    assert found["federated"]["ap"] == pytest.approx(found["pooled_in_our_bins"]["ap"], abs=1e-4)
    for name in ("federated", "pooled", "local_mean", "local_best", "fedavg_or_bagging"):
        assert {"ap", "auc", "recall_at_1pct_alerts", "seconds"} <= set(found[name])
    assert found["federated"]["rounds"] == 2 + 5 * 3 + 1
    # A contribution's value takes seven bytes or so, an aggregate's a few less; shares come on top.
    assert found["federated"]["bytes_up_per_bank"] > found["federated"]["bytes_down_per_bank"] > 1000


def test_logistic_regression_by_a_column_of_banks(csv):
    _, found = measure(
        "--data", csv, "--label", "is_fraud", "--model", "logistic", "--protection", "none",
        "--partition", "by-column", "--bank-column", "branch", "--time", "when",
    )  # fmt: skip
    assert found["banks"] == 3
    assert found["largest_coefficient_difference"] < 1e-4


def test_entities_in_three_settings(csv):
    _, found = measure(
        "--data", csv, "--label", "is_fraud", "--protection", "none", "--no-peers", "--banks", "4",
        "--entity", "shop", "--customer", "client", "--time", "when", "--amount", "sum",
    )  # fmt: skip
    assert {"no_entity", "own_rows", "summed_tables"} <= set(found)
    assert found["summed_tables"]["federated"]["ap"] > found["no_entity"]["federated"]["ap"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--label", "nothing"], "no column 'nothing'"),
        (["--entity", "shop"], "--entity: needs --customer, --time and --amount"),
    ],
)
def test_what_cannot_be_measured_is_said(csv, arguments, sentence):
    done, _ = measure("--data", csv, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
