"""The privacy benchmark: figures from a small table, and public bounds by pattern."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.privacy import declare
from learning.schema import infer_schema
from tests.common.nodes import simulated_rows
from tests.common.processes import clean_environment

ROOT = Path(__file__).resolve().parents[2]


def test_bounds_go_to_the_numbers_that_their_pattern_names():
    schema = infer_schema(simulated_rows(1, 50, 3), label="fraud")
    features = declare(schema, ["f1=-1:2.5", "f*=-4:4"]).features
    assert [(feature.low, feature.high) for feature in features] == [(-4, 4), (-1, 2.5), (-4, 4)]
    assert declare(schema, []) == schema


@pytest.mark.parametrize("ranges", [[], ["--range", "f*=-4:4"]])
def test_it_prints_figures_that_hang_together(tmp_path, ranges):
    simulated_rows(1, 4000, 4).to_parquet(tmp_path / "rows.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.privacy", "--data", str(tmp_path / "rows.parquet"), "--label", "fraud",
         "--epsilons", "1", "8", "--repeats", "2", "--trees", "20", *ranges],
        cwd=ROOT, env=clean_environment(), capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["settings"]["edges"] == ("declared" if ranges else "sketched")
    assert found["train_rows"] + found["test_rows"] == 4000
    assert found["chance"] == pytest.approx(found["test_frauds"] / found["test_rows"], abs=1e-4)
    assert found["no_noise"]["ap"] > found["chance"]
    assert found["epsilon"]["1"]["noise_multiplier"] > found["epsilon"]["8"]["noise_multiplier"]
    assert found["epsilon"]["8"]["ap"] > found["chance"]
