"""Drift: have the rows, or the scores, of all banks together moved since the model was trained?

    coarse sketch of the reference rows ─► public bins ─► counts by bin, reference and current ─► stability index

The reference rows are the schema's training rows, the current ones its test rows. A score is a numeric feature like any
other: a bank adds its model's scores as a column before `learning.schema.prepare`.

The index of a feature is ``Σ (c − r) · ln(c / r)`` over its bins, r and c the parts of the reference and current rows
in a bin; a missing value is a bin of its own. Half a row is added to each count, so that an empty bin costs little
where there are few rows. `learning.stability` says how it is read.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning import sketch
from learning.errors import AggregateImplausible, DataRejected
from learning.gbdt_model import canonical_json
from learning.query import LocalCache, Query
from learning.schema import BooleanFeature, CategoricalFeature, Dataset, FeatureSchema, Part
from learning.stability import Verdict, verdict

_CELLS_A_BIN = 8
_PARTS = (Part.TRAIN, Part.TEST)

Phase = Literal["sketch", "count", "done"]


class DriftSettings(BaseModel):
    """What is compared.

    Attributes:
        inputs: features, label and the split into reference (training) and current (test) rows.
        bins: bins of a numeric feature, quantiles of the reference rows.
        edges: feature → its bin edges, ascending, instead of quantiles: a model's own bins, say.
        min_rows: fewer rows than this in either part are refused.
        max_rows: more rows than all banks together can have; bounds the counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["drift"] = "drift"
    inputs: FeatureSchema
    bins: int = Field(default=10, ge=2, le=250)
    edges: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    min_rows: int = Field(default=100, ge=1)
    max_rows: int = Field(default=1 << 24, ge=1, le=1 << 32)

    @model_validator(mode="after")
    def _consistent(self) -> DriftSettings:
        numeric = {feature.name for feature in self.inputs.features if not _has_levels(feature)}
        for name, edges in self.edges.items():
            if name not in numeric:
                raise ValueError(f"edges: {name!r} is no numeric feature")
            if not edges or any(not low < high for low, high in itertools.pairwise(edges)):
                raise ValueError(f"edges: those of {name!r} must be ascending")
        if self.inputs.split.test_from is None and not self.inputs.split.test_share:
            raise ValueError("inputs: the split must set test rows aside, which are the current ones")
        return self


def _has_levels(feature: Any) -> bool:
    return isinstance(feature, CategoricalFeature | BooleanFeature)


@dataclass(frozen=True, eq=False)
class DriftState:
    """Where the comparison stands.

    Attributes:
        phase: what the next sum is for.
        grids: by feature that needs quantiles, its fine cells.
        passes: sums that the sketch has taken.
        counts: int64, shape (2, cells): the second sum.
    """

    phase: Phase
    grids: tuple[sketch.Grid, ...] = ()
    passes: int = 0
    counts: NDArray[np.int64] | None = None

    @property
    def progress(self) -> dict[str, float]:
        """How many rounds there are, unless the sketch must be cut once more."""
        return {"rounds_expected": self.passes + (2 if self.phase == "sketch" else 1)}


class Drift:
    """The algorithm; its result is a `DriftReport`.

    Args:
        settings: from the plan.
    """

    def __init__(self, settings: DriftSettings) -> None:
        self.settings = settings
        self._sketched = [
            k
            for k, feature in enumerate(settings.inputs.features)
            if not _has_levels(feature) and feature.name not in settings.edges
        ]

    def start(self) -> DriftState:
        """Without features that need quantiles, counting begins at once."""
        return DriftState("sketch" if self._sketched else "count")

    def next_query(self, state: DriftState) -> Query | None:
        """The next sum, or None."""
        bound = float(2 ** math.ceil(math.log2(self.settings.max_rows)))
        match state.phase:
            case "sketch":
                return Query("drift.sketch", len(self._sketched) * (sketch.COARSE_CELLS + 1), bound, 1.0)
            case "count":
                # Every feature's cells and one for missing values; last the rows by label.
                return Query("drift.count", 2 * (sum(self._cells(state)) + 2), bound, 1.0)
            case _:
                return None

    def _cells(self, state: DriftState) -> list[int]:
        """Cells by feature, the one for missing values included."""
        grids = iter(state.grids)
        found = []
        for k, feature in enumerate(self.settings.inputs.features):
            if isinstance(feature, CategoricalFeature):
                found.append(len(feature.levels) + 1)
            elif isinstance(feature, BooleanFeature):
                found.append(3)
            else:
                found.append((next(grids).cells if k in self._sketched else self._edge_count(feature.name) + 1) + 1)
        return found

    def _edge_count(self, name: str) -> int:
        return len(self.settings.edges[name])

    def contribution(self, state: DriftState, query: Query, data: Dataset, cache: LocalCache) -> NDArray[np.float64]:
        """One bank's counts."""
        del query, cache
        if state.phase == "sketch":
            columns = [np.ascontiguousarray(data.X[data.part == Part.TRAIN, k]) for k in self._sketched]
            return np.concatenate([sketch.coarse_counts(column) for column in columns]).astype(np.float64)
        counts: list[NDArray[np.int64]] = []
        for part in _PARTS:
            chosen = data.part == part
            grids = iter(state.grids)
            X = data.X[chosen]
            counts.extend(self._counts(k, np.ascontiguousarray(X[:, k]), grids) for k in range(X.shape[1]))
            counts.append(np.bincount(data.y[chosen], minlength=2).astype(np.int64))
        return np.concatenate(counts).astype(np.float64)

    def _counts(self, k: int, values: NDArray[np.float32], grids: Any) -> NDArray[np.int64]:
        feature = self.settings.inputs.features[k]
        there = values[~np.isnan(values)]
        if _has_levels(feature):
            levels = len(feature.levels) if isinstance(feature, CategoricalFeature) else 2
            found = np.bincount(there.astype(np.int64), minlength=levels)
        elif k in self._sketched:
            found = next(grids).counts(values)
        else:
            edges = np.array(self.settings.edges[feature.name], dtype=np.float32)
            found = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
        return np.append(found, len(values) - len(there)).astype(np.int64)

    def apply(self, state: DriftState, query: Query, aggregate: NDArray[np.float64]) -> DriftState:
        """The state after a sum."""
        counts = np.rint(aggregate).astype(np.int64)
        if (counts < 0).any():
            raise AggregateImplausible(query.name, expected="counts of at least 0", got="a negative one")
        if state.phase == "sketch":
            rows = counts.reshape(len(self._sketched), -1)
            grids = tuple(sketch.refine(row[:-1], _CELLS_A_BIN * self.settings.bins) for row in rows)
            return replace(state, grids=grids, passes=1, phase="count")
        counts = counts.reshape(2, -1)
        reference, current = (int(row[-2:].sum()) for row in counts)
        if min(reference, current) < self.settings.min_rows:
            raise AggregateImplausible(
                query.name, expected=f"at least {self.settings.min_rows} reference rows and as many current ones",
                got=f"{reference} and {current}",
            )  # fmt: skip
        passes, sharper = state.passes + 1, self._sharper(state, counts[0])
        if passes < sketch.PASSES and any(new is not old for new, old in zip(sharper, state.grids, strict=True)):
            return replace(state, grids=sharper, passes=passes)
        return replace(state, counts=counts, phase="done")

    def _sharper(self, state: DriftState, reference: NDArray[np.int64]) -> tuple[sketch.Grid, ...]:
        """The grids, cut once more where a cell holds more of the reference rows than a bin should."""
        ends = np.cumsum(self._cells(state))
        starts = [int(ends[k]) - grid.cells - 1 for k, grid in zip(self._sketched, state.grids, strict=True)]
        return tuple(
            sketch.sharpen(grid, reference[start : start + grid.cells], self.settings.bins)
            for start, grid in zip(starts, state.grids, strict=True)
        )

    def result(self, state: DriftState) -> DriftReport:
        """The report."""
        assert state.counts is not None
        grids, found, start = iter(state.grids), [], 0
        for k, (feature, cells) in enumerate(zip(self.settings.inputs.features, self._cells(state), strict=True)):
            counts, start = state.counts[:, start : start + cells], start + cells
            bins: list[str | float]
            if k in self._sketched:
                grid = next(grids)
                edges = sketch.quantile_edges(grid, counts[0, :-1], self.settings.bins)
                counts, bins = _by_bin(grid, edges, counts), [float(edge) for edge in edges]
            elif isinstance(feature, CategoricalFeature):
                bins = list(feature.levels)
            else:
                bins = ["false", "true"] if _has_levels(feature) else list(self.settings.edges[feature.name])
            found.append(FeatureDrift(feature.name, stability_index(counts), tuple(bins), _parts(counts)))
        labels = state.counts[:, -2:]
        return DriftReport(
            rows=(int(labels[0].sum()), int(labels[1].sum())), frauds=(int(labels[0, 1]), int(labels[1, 1])),
            features=tuple(found),
        )  # fmt: skip


def stability_index(counts: NDArray[np.int64]) -> float:
    """Population stability index of counts, int64 of shape (2, bins): reference, then current; to six decimals."""
    used = counts[:, counts.sum(axis=0) > 0].astype(np.float64) + 0.5
    reference, current = used / used.sum(axis=1, keepdims=True)
    terms = [(c - r) * math.log(c / r) for r, c in zip(reference.tolist(), current.tolist(), strict=True)]
    return round(math.fsum(terms), 6)


def _by_bin(grid: sketch.Grid, edges: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts by bin from counts by fine cell; edges are beginnings of cells. The last one counts missing values."""
    first = np.searchsorted(grid.starts, sketch.ordered(edges).astype(np.uint64), side="left")
    begins = np.concatenate([[0], first]).astype(np.int64)
    summed = np.add.reduceat(counts[:, :-1], begins, axis=1)
    return np.column_stack([summed, counts[:, -1]]).astype(np.int64)


def _parts(counts: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return tuple(parts[0].tolist()), tuple(parts[1].tolist())


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature's drift.

    Attributes:
        feature: its name.
        index: population stability index.
        bins: edges of a numeric feature (one less than its bins), or levels; the bin for missing values is not named.
        parts: of the reference rows and of the current rows, by bin; the last one is of missing values.
    """

    feature: str
    index: float
    bins: tuple[str | float, ...]
    parts: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def verdict(self) -> Verdict:
        """How the index is usually read."""
        return verdict(self.index)


@dataclass(frozen=True)
class DriftReport:
    """Drift by feature.

    Attributes:
        rows: reference, current.
        frauds: reference, current.
        features: in the schema's order.
    """

    rows: tuple[int, int]
    frauds: tuple[int, int]
    features: tuple[FeatureDrift, ...]

    def worst(self) -> FeatureDrift:
        """The feature that has moved most."""
        return max(self.features, key=lambda feature: feature.index)

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(
            {
                "kind": "drift",
                "version": 1,
                "rows": list(self.rows),
                "frauds": list(self.frauds),
                "features": [
                    {"bins": list(f.bins), "feature": f.feature, "index": f.index, "parts": [list(p) for p in f.parts]}
                    for f in self.features
                ],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> DriftReport:
        """The inverse of `to_bytes`.

        Raises:
            DataRejected: it is not such a document.
        """
        try:
            document = json.loads(data)
            if document["kind"] != "drift" or document["version"] != 1:
                raise DataRejected("document", expected="a drift report of version 1", got="another document")
            features = tuple(
                FeatureDrift(
                    f["feature"], float(f["index"]), tuple(f["bins"]), (tuple(f["parts"][0]), tuple(f["parts"][1]))
                )
                for f in document["features"]
            )
            rows, frauds = document["rows"], document["frauds"]
            return cls((int(rows[0]), int(rows[1])), (int(frauds[0]), int(frauds[1])), features)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataRejected("document", expected="a drift report", got=type(error).__name__) from error

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.to_bytes()).digest()
