"""Loads what a training runs: libraries and compiled kernels, which are compiled once a machine."""

from __future__ import annotations

import numpy as np
import pandas as pd

from learning.driver import run
from learning.gbdt import GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.logistic import LogisticRegression
from learning.logistic_settings import LogisticSettings
from learning.schema import FeatureSchema, NumericFeature, Split, prepare


def warm_up() -> None:
    """Runs both models' trainings, once, on a few rows that are nobody's."""
    row = np.arange(64)
    frame = pd.DataFrame({"x": row % 7, "z": (row * 5) % 11, "fraud": row % 3 == 0})
    schema = FeatureSchema(
        features=(NumericFeature(name="x"), NumericFeature(name="z")), label="fraud", split=Split(test_share=0.2)
    )
    data = prepare(frame, schema)
    run(GradientBoosting(GbdtSettings(inputs=schema, trees=2, max_depth=2)), [data])
    run(LogisticRegression(LogisticSettings(inputs=schema)), [data])
