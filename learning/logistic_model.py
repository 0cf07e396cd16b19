"""The fitted logistic regression: documented JSON, and a fitted scikit-learn pipeline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.errors import DataRejected
from learning.gbdt_model import canonical_json
from learning.schema import FeatureSchema, features_of
from learning.standardise import Design

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """A logistic regression.

    JSON: `inputs` (the schema), `design` (mean, scale and has_missing by feature), `columns` (names), `coefficients`
    (by column, of standardised values), `intercept`, `settings`, `volumes`, `evaluation`, `privacy`.

    Attributes:
        design: how features become columns.
        coefficients: float64, shape (columns,).
        intercept: log-odds where every column is zero.
        settings, volumes, evaluation, privacy: as `GbdtModel` has them.
    """

    design: Design
    coefficients: NDArray[np.float64]
    intercept: float
    settings: Mapping[str, Any]
    volumes: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> FeatureSchema:
        """The feature schema."""
        return self.design.inputs

    def margins(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds, float64 of shape (n,).

        Args:
            X: float32, shape (n, f), as `learning.schema.features_of` gives it.
        """
        return np.asarray(self.design.matrix(X) @ self.coefficients + self.intercept)

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of fraud a row, float64 of shape (n,).

        Raises:
            DataRejected: a column is missing or not of its type.
        """
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * self.margins(features_of(frame, self.inputs))))

    def to_pipeline(self) -> Pipeline:
        """A fitted scikit-learn pipeline over `features_of`'s matrix: the scaler, then `LogisticRegression`.

        The scaler is scikit-learn's `StandardScaler` where every column is a number without missing values; otherwise
        a `FunctionTransformer` of `Design.matrix`, which needs this package to be unpickled.
        """
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # half a second, for this call only
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415
        from sklearn.preprocessing import FunctionTransformer, StandardScaler  # noqa: PLC0415

        linear = LogisticRegression(C=float(self.settings["C"]), fit_intercept=bool(self.settings["fit_intercept"]))
        linear.classes_ = np.array([0, 1])
        linear.coef_ = self.coefficients[None, :].copy()
        linear.intercept_ = np.array([self.intercept])
        linear.n_features_in_ = len(self.coefficients)
        linear.n_iter_ = np.array([1], dtype=np.int32)
        if self.design.columns != self.inputs.names:
            return make_pipeline(FunctionTransformer(self.design.matrix), linear)
        scaler = StandardScaler()
        scaler.mean_, scaler.scale_, scaler.var_ = (
            self.design.mean.copy(),
            self.design.scale.copy(),
            self.design.scale**2,
        )
        scaler.n_features_in_ = len(self.inputs.names)
        scaler.n_samples_seen_ = int(self.volumes["train_rows"])
        return make_pipeline(scaler, linear)

    def to_bytes(self) -> bytes:
        """Canonical JSON; its SHA-256 is the digest."""
        return canonical_json(
            {
                "kind": "logistic",
                "version": 1,
                "inputs": self.inputs.model_dump(mode="json"),
                "design": self.design.to_dict(),
                "columns": list(self.design.columns),
                "coefficients": self.coefficients.tolist(),
                "intercept": self.intercept,
                "settings": self.settings,
                "volumes": self.volumes,
                "evaluation": self.evaluation,
                "privacy": self.privacy,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> LogisticModel:
        """The inverse of `to_bytes`.

        Raises:
            DataRejected: it is not such a document.
        """
        try:
            document = json.loads(data)
            if document["kind"] != "logistic" or document["version"] != 1:
                raise DataRejected("document", expected="a logistic model of version 1", got="another document")
            inputs = FeatureSchema.model_validate(document["inputs"])
            model = cls(
                Design.from_dict(inputs, document["design"]), np.array(document["coefficients"], dtype=np.float64),
                float(document["intercept"]), document["settings"], document["volumes"], document["evaluation"],
                document["privacy"],
            )  # fmt: skip
            if model.coefficients.shape != (len(model.design.columns),):
                raise DataRejected("document", expected="a coefficient for every column", got="more or fewer")
        except (ValueError, KeyError, TypeError) as error:
            raise DataRejected("document", expected="a logistic model", got=type(error).__name__) from error
        return model

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.to_bytes()).digest()
