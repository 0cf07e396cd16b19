"""Rows some at a time: every row once, in order, and however many at a time the model is the same."""

import numpy as np
import pandas as pd
import pytest

from learning import row_slices as sliced
from learning.algorithms import build
from learning.driver import run
from learning.evaluation import part_score_histogram, score_histogram
from learning.gbdt_settings import GbdtSettings
from learning.random_trees_settings import RandomTreesSettings
from learning.schema import BooleanFeature, FeatureSchema, NumericFeature, Split, prepare


@pytest.mark.parametrize("rows", [0, 1, 6, 7, 8, 20, 21])
def test_slices_cover_the_rows_in_order(monkeypatch, rows):
    monkeypatch.setattr(sliced, "ROWS_AT_ONCE", 7)
    slices = list(sliced.row_slices(rows))
    assert [row for some in slices for row in range(rows)[some]] == list(range(rows))
    assert len(slices) == max(1, -(-rows // 7))


def test_the_rows_of_a_part_alone_are_scored(monkeypatch):
    rng = np.random.default_rng(1)
    y, part = rng.integers(0, 2, 500).astype(np.uint8), rng.integers(0, 3, 500).astype(np.uint8)
    margins = rng.normal(size=500) * 9
    monkeypatch.setattr(sliced, "ROWS_AT_ONCE", 64)
    for wanted in range(3):
        chosen = part == wanted
        expected = score_histogram(margins[chosen], y[chosen])
        np.testing.assert_array_equal(part_score_histogram(margins, y, part, wanted), expected)


@pytest.mark.parametrize("kind", ["gbdt", "random_gbdt"])
def test_the_model_is_the_same_however_many_rows_are_taken_at_a_time(monkeypatch, kind):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"amount": np.exp(rng.normal(3, 2, 3000)), "risk": rng.normal(size=3000)})
    frame["abroad"] = rng.random(3000) < 0.2
    frame["fraud"] = (rng.random(3000) < 1 / (1 + np.exp(3 - frame["risk"] - frame["abroad"]))).astype(int)
    frame.loc[rng.random(3000) < 0.1, "risk"] = np.nan
    features = (NumericFeature(name="amount", low=0, high=1e4), NumericFeature(name="risk", low=-4, high=4))
    inputs = FeatureSchema(
        features=(*features, BooleanFeature(name="abroad")), label="fraud",
        split=Split(validation_share=0.2, test_share=0.2),
    )  # fmt: skip
    settings = (
        GbdtSettings(inputs=inputs, trees=5, subsample=0.7, early_stopping_rounds=3)
        if kind == "gbdt"
        else RandomTreesSettings(inputs=inputs, trees=20)
    )
    banks = [prepare(frame.iloc[rows], inputs) for rows in (slice(0, 2500), slice(2500, 3000), slice(0, 0))]
    whole = run(build(settings), banks)
    monkeypatch.setattr(sliced, "ROWS_AT_ONCE", 300)
    assert run(build(settings), banks).digest() == whole.digest()
