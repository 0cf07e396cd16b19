"""The trained trees: a self-describing model that every bank derives alike, down to its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.binning import Bins
from learning.schema import FeatureSchema, features_of
from learning.tree import Tree


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """Sorted keys, no spaces, shortest decimals; NaN is not allowed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True, eq=False)
class GbdtModel:
    """Gradient-boosted trees.

    Attributes:
        inputs: the feature schema.
        bins: the public bins.
        base_margin: log-odds before the first tree.
        trees: in order.
        settings: as the plan gave them.
        volumes: rows and frauds over all banks, by part.
        evaluation: metrics and curves, JSON values.
        privacy: what was spent, JSON values; empty without noise.
    """

    inputs: FeatureSchema
    bins: Bins
    base_margin: float
    trees: tuple[Tree, ...]
    settings: Mapping[str, Any]
    volumes: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)

    def margins(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds, float64 of shape (n,).

        Args:
            X: float32, shape (n, f), as `learning.schema.features_of` gives it.
        """
        binned = self.bins.assign(X)
        total = np.full(len(X), self.base_margin)
        for tree in self.trees:
            tree.add_to(total, binned, self.bins)
        return total

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of fraud a row, float64 of shape (n,).

        Raises:
            DataRejected: a column is missing or not of its type.
        """
        return np.asarray(1.0 / (1.0 + np.exp(-self.margins(features_of(frame, self.inputs)))))

    def to_bytes(self) -> bytes:
        """Canonical JSON; its SHA-256 is the digest."""
        return canonical_json(
            {
                "kind": "gbdt",
                "version": 1,
                "inputs": self.inputs.model_dump(mode="json"),
                "edges": [edges.tolist() for edges in self.bins.edges],
                "base_margin": self.base_margin,
                "trees": [tree.to_dict() for tree in self.trees],
                "settings": self.settings,
                "volumes": self.volumes,
                "evaluation": self.evaluation,
                "privacy": self.privacy,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> GbdtModel:
        """The inverse of `to_bytes`."""
        document = json.loads(data)
        inputs = FeatureSchema.model_validate(document["inputs"])
        edges = [np.array(edges, dtype=np.float32) for edges in document["edges"]]
        return cls(
            inputs=inputs, bins=Bins.of(inputs, edges), base_margin=document["base_margin"],
            trees=tuple(Tree.from_dict(tree) for tree in document["trees"]), settings=document["settings"],
            volumes=document["volumes"], evaluation=document["evaluation"], privacy=document["privacy"],
        )  # fmt: skip

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.to_bytes()).digest()
