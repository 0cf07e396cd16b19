"""The design matrix of a linear model, from public statistics: standardised numbers, a column for each other category.

A missing value is the mean (zero after standardising), with a column of its own that says so where any bank has one. A
category's first level is the reference; a missing one is none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.schema import CategoricalFeature, FeatureSchema


@dataclass(frozen=True, eq=False)
class Design:
    """How features become columns.

    Attributes:
        inputs: the schema.
        mean: float64, shape (f,): over the training rows, missing ones left out; 0 for categories.
        scale: float64, shape (f,): standard deviation; 1 for categories and constant features.
        has_missing: bool, shape (f,).
    """

    inputs: FeatureSchema
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    has_missing: NDArray[np.bool_]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names: the feature, ``feature=level`` or ``feature is missing``."""
        names: list[str] = []
        for feature, missing in zip(self.inputs.features, self.has_missing, strict=True):
            if isinstance(feature, CategoricalFeature):
                names += [f"{feature.name}={level}" for level in feature.levels[1:]]
            else:
                names.append(feature.name)
            if missing:
                names.append(f"{feature.name} is missing")
        return tuple(names)

    def matrix(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """The columns, float64 of shape (n, columns).

        Args:
            X: float32, shape (n, f), NaN where missing.
        """
        columns: list[NDArray[np.float64]] = []
        for k, feature in enumerate(self.inputs.features):
            values = X[:, k].astype(np.float64)
            missing = np.isnan(values)
            if isinstance(feature, CategoricalFeature):
                columns += [(values == code).astype(np.float64) for code in range(1, len(feature.levels))]
            else:
                columns.append(np.where(missing, 0.0, (values - self.mean[k]) / self.scale[k]))
            if self.has_missing[k]:
                columns.append(missing.astype(np.float64))
        return np.column_stack(columns) if columns else np.empty((len(X), 0))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "mean": self.mean.tolist(), "scale": self.scale.tolist(), "has_missing": self.has_missing.tolist(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, inputs: FeatureSchema, values: dict[str, Any]) -> Design:
        """The inverse of `to_dict`."""
        return cls(
            inputs, np.array(values["mean"]), np.array(values["scale"]), np.array(values["has_missing"], dtype=np.bool_)
        )
