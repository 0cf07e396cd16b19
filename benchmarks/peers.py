"""What others do, for comparison: one pooled model, and what peers' frameworks average or pass around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression as PooledLogistic
from sklearn.metrics import average_precision_score, roc_auc_score

from learning.binning import Bins
from learning.driver import run
from learning.fedavg import FederatedAveraging
from learning.logistic_settings import FedAvgSettings
from learning.schema import Dataset, FeatureSchema, Part
from learning.standardise import Design
from tests.common.xgboost_oracle import representatives

Scores = NDArray[np.float64]
Scorer = Callable[[NDArray[np.float32]], Scores]


@dataclass(frozen=True)
class Trees:
    """Settings of boosted trees that ours and stock XGBoost both have."""

    trees: int
    depth: int
    bins: int
    learning_rate: float
    threads: int

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """XGBoost's."""
        return {
            "tree_method": "hist", "objective": "binary:logistic", "max_depth": self.depth, "max_bin": self.bins,
            "eta": self.learning_rate, "nthread": self.threads, "max_cat_to_onehot": 255,
        } | changes  # fmt: skip


def figures(y: NDArray[Any], scores: Scores) -> dict[str, float]:
    """AP, AUC, and the part of the frauds among the 1 % highest scores."""
    alerts = np.argsort(-scores, kind="stable")[: max(1, round(0.01 * len(y)))]
    return {
        "ap": round(float(average_precision_score(y, scores)), 5), "auc": round(float(roc_auc_score(y, scores)), 5),
        "recall_at_1pct_alerts": round(float(y[alerts].sum() / y.sum()), 5),
    }  # fmt: skip


def train_rows(sets: Sequence[Dataset]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Training rows of several banks in one place."""
    return (
        np.concatenate([data.X[data.part == Part.TRAIN] for data in sets]),
        np.concatenate([data.y[data.part == Part.TRAIN] for data in sets]),
    )


def test_rows(sets: Sequence[Dataset]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Test rows of several banks in one place."""
    return (
        np.concatenate([data.X[data.part == Part.TEST] for data in sets]),
        np.concatenate([data.y[data.part == Part.TEST] for data in sets]),
    )


def pooled_trees(sets: Sequence[Dataset], schema: FeatureSchema, settings: Trees) -> Scorer:
    """Stock XGBoost on all rows in one place."""
    return pooled_trees_of(*train_rows(sets), schema, settings)


def pooled_trees_of(
    X: NDArray[np.float32], y: NDArray[np.uint8], schema: FeatureSchema, settings: Trees
) -> Scorer:  # fmt: skip
    """Stock XGBoost on these rows."""
    booster = xgboost.train(settings.parameters(), _matrix(X, schema, y), settings.trees)
    return lambda rows: booster.predict(_matrix(rows, schema)).astype(np.float64)


def pooled_trees_in_bins(sets: Sequence[Dataset], schema: FeatureSchema, settings: Trees, bins: Bins) -> Scorer:
    """Stock XGBoost on all rows, each value replaced by the lower edge of its bin, so that it cuts where we do."""
    values = representatives(bins)

    def in_bins(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        binned = bins.assign(rows)
        return np.column_stack([column[binned[:, k]] for k, column in enumerate(values)])

    X, y = train_rows(sets)
    scorer = pooled_trees_of(in_bins(X), y, schema, settings)
    return lambda rows: scorer(in_bins(rows))


def bagged_trees(sets: Sequence[Dataset], schema: FeatureSchema, settings: Trees) -> Scorer:
    """Tree bagging as Flower does it (FedXgbBagging): in a round every bank grows a tree on what all so far leave.

    The learning rate is divided by the number of banks, whose trees are added.
    """
    banks = [
        (_matrix(rows, schema, labels), rows) for rows, labels in (train_rows([data]) for data in sets) if len(rows)
    ]
    margins = [np.zeros(len(rows)) for _, rows in banks]
    grown: list[Any] = []
    parameters = settings.parameters(eta=settings.learning_rate / len(banks), base_score=0.5)
    for _ in range(settings.trees):
        new = []
        for (matrix, _), margin in zip(banks, margins, strict=True):
            matrix.set_base_margin(margin)
            new.append(xgboost.train(parameters, matrix, 1))
        for k, (_, rows) in enumerate(banks):
            margins[k] = margins[k] + _sum_of(new, rows, schema)
        grown += new
    return lambda rows: _sum_of(grown, rows, schema)


def _sum_of(boosters: Sequence[Any], rows: NDArray[np.float32], schema: FeatureSchema) -> Scores:
    matrix = _matrix(rows, schema)
    matrix.set_base_margin(np.zeros(len(rows)))
    return np.sum([one.predict(matrix, output_margin=True) for one in boosters], axis=0, dtype=np.float64)


def _matrix(rows: NDArray[np.float32], schema: FeatureSchema, labels: NDArray[np.uint8] | None = None) -> Any:
    types = ["c" if feature.kind == "categorical" else "q" for feature in schema.features]
    return xgboost.DMatrix(rows, labels, feature_types=types, enable_categorical=True)


def pooled_logistic(sets: Sequence[Dataset], design: Design) -> tuple[Scorer, NDArray[np.float64]]:
    """scikit-learn's logistic regression on all rows, on the same standardised columns; and its coefficients.

    By Newton's method: where L-BFGS, its default, stops, small coefficients are right to three digits alone.
    """
    X, y = train_rows(sets)
    model = PooledLogistic(solver="newton-cholesky", tol=1e-12).fit(design.matrix(X), y)
    return (lambda rows: model.decision_function(design.matrix(rows))), np.append(model.coef_[0], model.intercept_)


def averaged_logistic(sets: Sequence[Dataset], schema: FeatureSchema) -> Scorer:
    """FedAvg over twenty rounds of one local epoch."""
    return run(FederatedAveraging(FedAvgSettings(inputs=schema, rounds=20)), list(sets)).margins
