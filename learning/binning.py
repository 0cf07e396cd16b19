"""Public bins, and a bank's rows in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from learning.limits import MAX_BINS
from learning.row_slices import row_slices
from learning.schema import BooleanFeature, CategoricalFeature, FeatureSchema

jit: Any = nb.njit(nogil=True, cache=True, boundscheck=False)


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """The bins of every feature; feature k has ``sizes[k]`` of them, the last for missing values.

    Attributes:
        edges: float32 a feature; for categories the codes' edges 0.5, 1.5, … stand for one bin a level.
        categorical: bool, shape (f,).
        sizes: int64, shape (f,): value bins and the one for missing values.
        offsets: int64, shape (f + 1,): where a feature's bins begin in a histogram of all of them.
    """

    edges: tuple[NDArray[np.float32], ...]
    categorical: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, schema: FeatureSchema, edges: Sequence[NDArray[np.float32]]) -> Bins:
        """Bins from the edges of the features that have values in between; categories and booleans bring their own.

        Args:
            schema: the features.
            edges: by feature; ignored for categories and booleans.
        """
        final: list[NDArray[np.float32]] = []
        for feature, found in zip(schema.features, edges, strict=True):
            if isinstance(feature, CategoricalFeature):
                final.append(np.arange(1, len(feature.levels), dtype=np.float32) - np.float32(0.5))
            elif isinstance(feature, BooleanFeature):
                final.append(np.array([0.5], dtype=np.float32))
            else:
                final.append(np.asarray(found, dtype=np.float32))
        sizes = np.array([len(found) + 2 for found in final], dtype=np.int64)
        if sizes.max() > MAX_BINS:
            raise ValueError(f"bins: at most {MAX_BINS} a feature with the one for missing values, got {sizes.max()}")
        categorical = np.array([isinstance(feature, CategoricalFeature) for feature in schema.features])
        return cls(tuple(final), categorical, sizes, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    @property
    def total(self) -> int:
        """Bins of all features together."""
        return int(self.offsets[-1])

    def assign(self, X: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Each value's bin, uint8 of shape (n, f), rows together.

        Args:
            X: float32, shape (n, f), NaN where missing.

        Raises:
            ValueError: as many columns as features are wanted.
        """
        if X.shape[1] != len(self.edges):
            raise ValueError(f"X: expected {len(self.edges)} columns, got {X.shape[1]}")
        out = np.empty(X.shape, dtype=np.uint8)
        padded = np.full((len(self.edges), MAX_BINS - 1), np.inf, dtype=np.float32)
        for k, edges in enumerate(self.edges):
            padded[k, : len(edges)] = edges
        for some in row_slices(len(X)):
            _assign(X[some], padded, self.sizes, out[some])
        return out


@jit
def _assign(X, edges, sizes, out):  # type: ignore[no-untyped-def]
    """How many of a feature's edges a value reaches, by eight halvings without a branch, which nobody could predict."""
    for k in range(X.shape[1]):
        missing = sizes[k] - 1
        for i in range(X.shape[0]):
            x = X[i, k]
            reached = 0
            half = (MAX_BINS + 1) // 2
            for _ in range(8):
                reached += half if x >= edges[k, reached + half - 1] else 0
                half >>= 1
            out[i, k] = missing if np.isnan(x) else min(reached, missing - 1)
