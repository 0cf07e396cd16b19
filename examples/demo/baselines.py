"""What the demo's figures are set beside: each bank alone, and all rows in one place, which no consortium has.

Stock XGBoost and the in-process logistic regression, on the features that a bank's node derives; with the terminals'
risk left out, counted from the bank's own rows, or counted from the rows of all banks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from examples.demo.case import PROFILE_WINDOWS_DAYS, Case
from learning.driver import run
from learning.entities import EntityTableSettings, prepare_rows
from learning.entity_tables import EntityTables
from learning.logistic import LogisticRegression
from learning.logistic_settings import LogisticSettings
from learning.profiles import customer_profiles
from learning.schema import Dataset, FeatureSchema, Part, prepare

Risk = Literal["none", "own", "summed"]
Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Every bank's rows with features.

    Attributes:
        schema: of the features.
        data: by bank.
    """

    schema: FeatureSchema
    data: dict[str, Dataset]

    def pooled(self) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
        """All banks' rows in one place: features, labels, parts."""
        sets = self.data.values()
        return np.concatenate([d.X for d in sets]), np.concatenate([d.y for d in sets]), np.concatenate(
            [d.part for d in sets]
        )  # fmt: skip


def prepare_all(case: Case, risk: Risk) -> Prepared:
    """Derives every bank's features, the terminals' risk from one source."""
    frames = dict(case.tables)
    names: list[str] = []
    if case.has_profiles:
        for bank, table in case.tables.items():
            profiles = customer_profiles(
                table, customer=str(case.customer), time=str(case.time), amount=str(case.amount),
                windows_days=PROFILE_WINDOWS_DAYS,
            )  # fmt: skip
            frames[bank] = pd.concat([frames[bank], profiles], axis=1)
    if case.entity is not None and risk != "none":
        settings = EntityTableSettings.model_validate(case.entity_learning())
        key = os.urandom(32)
        rows = {bank: prepare_rows(table, settings, key) for bank, table in case.tables.items()}
        everyone = run(EntityTables(settings), list(rows.values())) if risk == "summed" else None
        for bank, table in case.tables.items():
            found = everyone or run(EntityTables(settings), [rows[bank]])
            frames[bank] = pd.concat([frames[bank], found.features(table, key)], axis=1)
            names = found.feature_names()
    schema = FeatureSchema.model_validate(case.schema(names))
    return Prepared(schema, {bank: prepare(frame, schema) for bank, frame in frames.items()})


def trees_alone(prepared: Prepared, bank: str, settings: dict[str, Any]) -> dict[str, Scores]:
    """A model of one bank's rows, as that bank would use it: its scores of every bank's test rows."""
    data = prepared.data[bank]
    model = _fit_trees(data.X, data.y, data.part, settings, prepared.schema)
    return {name: model(other.X[other.part == Part.TEST]) for name, other in prepared.data.items()}


def trees_pooled(prepared: Prepared, settings: dict[str, Any]) -> dict[str, Scores]:
    """A model of all rows put together: its scores of every bank's test rows."""
    model = _fit_trees(*prepared.pooled(), settings, prepared.schema)
    return {name: model(data.X[data.part == Part.TEST]) for name, data in prepared.data.items()}


def _fit_trees(
    X: NDArray[np.float32], y: NDArray[np.uint8], part: NDArray[np.uint8], settings: dict[str, Any],
    schema: FeatureSchema,
) -> Any:  # fmt: skip
    types = ["c" if feature.kind == "categorical" else "q" for feature in schema.features]

    def matrix(rows: NDArray[np.float32], labels: NDArray[np.uint8] | None = None) -> Any:
        return xgboost.DMatrix(rows, labels, feature_types=types, enable_categorical=True)

    train = part == Part.TRAIN
    booster = xgboost.train(
        {"tree_method": "hist", "objective": "binary:logistic", "max_depth": settings["max_depth"],
         "eta": settings["learning_rate"], "max_bin": settings["max_bin"], "max_cat_to_onehot": 255, "nthread": 2},
        matrix(X[train], y[train]), settings["trees"],
    )  # fmt: skip
    return lambda rows: booster.predict(matrix(rows)).astype(np.float64)


def logistic_alone(prepared: Prepared, bank: str) -> dict[str, Scores]:
    """One bank's own logistic regression: its scores of every bank's test rows."""
    return _logistic(prepared, [prepared.data[bank]])


def logistic_pooled(prepared: Prepared) -> dict[str, Scores]:
    """The logistic regression of all rows: its scores of every bank's test rows."""
    return _logistic(prepared, list(prepared.data.values()))


def _logistic(prepared: Prepared, data: list[Dataset]) -> dict[str, Scores]:
    model = run(LogisticRegression(LogisticSettings(inputs=prepared.schema)), data)
    return {
        name: 1 / (1 + np.exp(-model.margins(other.X[other.part == Part.TEST])))
        for name, other in prepared.data.items()
    }  # fmt: skip


def average_precision(y: NDArray[Any], scores: Scores) -> float:
    """Average precision, or NaN where there is no fraud to find."""
    return float(average_precision_score(y, scores)) if y.any() else float("nan")


def recall_at_alerts(y: NDArray[Any], scores: Scores, share: float = 0.01) -> float:
    """Part of the frauds among the rows with the highest scores, as many as the share; NaN without frauds."""
    if not y.any():
        return float("nan")
    alerts = np.argsort(-scores, kind="stable")[: max(1, int(len(y) * share))]
    return float(y[alerts].sum() / y.sum())
