"""What a bank needs beside its rows and the histograms: at most two bytes a cell, whatever a plan asks for."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.bank_memory import measure
from learning.binning import Bins

LIMIT = 2.0


@pytest.mark.parametrize("bins", [64, 256])
@pytest.mark.parametrize("full", [False, True])
def test_a_bank_needs_at_most_two_bytes_a_cell(bins, full):
    found = measure(rows=100_000, columns=30, bins=bins, trees=3, depth=6, full=full)
    assert {"gbdt.count", "gbdt.refine", "gbdt.histogram, root", "gbdt.histogram, deeper", "gbdt.scores"} <= set(found)
    # A byte a cell are the bins; less would mean that they were not seen.
    assert 1.0 < found["peak"] <= LIMIT, found


def test_what_numpy_takes_and_gives_back_within_a_sum_is_seen(monkeypatch):
    """A copy of the rows while they are put into bins would be four bytes a cell more."""
    assign = Bins.assign
    monkeypatch.setattr(Bins, "assign", lambda bins, X: assign(bins, np.array(X)))
    assert measure(rows=20_000, columns=30, bins=64, trees=1, depth=1)["peak"] > 4.0


def test_the_command_prints_both_trainings_and_the_larger_figure():
    arguments = ["--rows", "20000", "--columns", "8", "--trees", "1", "--depth", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bank_memory", *arguments], capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["bank_extra_bytes_per_cell"] == max(found["plain"]["peak"], found["fullest"]["peak"])
    assert found["plain"]["resident"] > 0
