"""The demo on a small table of one's own: real processes and encryption, figures, report; and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from examples.demo.__main__ import main


def table(rows, seed=3):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"v{k}": rng.normal(size=rows) for k in range(4)})
    frame["id"] = np.arange(rows)
    frame["shop"] = rng.choice(["food", "travel", "games"], rows)
    frame["when"] = pd.Timestamp("2026-03-01") + pd.to_timedelta(np.sort(rng.random(rows)) * 40, unit="D")
    margin = 1.5 * frame["v0"] + frame["v1"] * frame["v2"] + 2.0 * (frame["shop"] == "games") - 4.0
    frame["is_fraud"] = (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(int)
    return frame


@pytest.mark.server
def test_a_table_of_ones_own_is_trained_on_by_processes(tmp_path):
    table(4000).to_csv(tmp_path / "mine.csv", index=False)
    done = CliRunner().invoke(
        main, ["--data", str(tmp_path / "mine.csv"), "--banks", "3", "--time", "when", "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = re.findall(r"(bank-\d|all) +│ +([\d,]+) │ +(\d+) │ (\S+) / \S+ │ (\S+) / \S+ │ (\S+) / \S+", done.output)
    everyone = [tuple(map(float, row[3:])) for row in rows if row[0] == "all"]
    assert len(rows) == 8
    assert len(everyone) == 2
    (_, trees, xgboost), (_, logistic, pooled_logistic) = everyone
    # The same model but for the last digits; trees on a thousand test rows feel every bin edge.
    assert logistic == pytest.approx(pooled_logistic, abs=0.0011)
    assert trees == pytest.approx(xgboost, abs=0.05)
    assert min(trees, logistic) > 0.2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "ckks" in page
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"banks.png", "curves.png"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--label", "v0"], "column 'v0' must hold 0 and 1 alone"),
        (["--label", "nothing"], "no column 'nothing'"),
        (["--time", "shop"], "column 'shop' holds no times"),
        (["--bank-column", "is_fraud"], "a consortium needs three banks"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_words(tmp_path, options, sentence):
    table(300).to_csv(tmp_path / "mine.csv", index=False)
    done = CliRunner().invoke(main, ["--data", str(tmp_path / "mine.csv"), "--out", str(tmp_path / "out"), *options])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"v0": 1.5}, "there is none that holds 0 and 1 alone"),
        ({"v0": 1.5, "fraud": [1] + [0] * 59}, "training rows of both classes at every bank, got"),
    ],
)
def test_a_table_too_small_to_train_on_is_refused_before_anything_is_started(tmp_path, columns, sentence):
    pd.DataFrame(columns, index=range(60)).to_csv(tmp_path / "mine.csv", index=False)
    done = CliRunner().invoke(main, ["--data", str(tmp_path / "mine.csv"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", " ").split())


def test_a_file_that_is_no_table_is_refused_in_words(tmp_path):
    (tmp_path / "mine.parquet").write_bytes(b"no Parquet")
    done = CliRunner().invoke(main, ["--data", str(tmp_path / "mine.parquet"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "cannot be read" in done.output
