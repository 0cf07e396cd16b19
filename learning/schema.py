"""What a model's inputs are: features by name and type, the label, the split by time. Public, versioned, in every plan.

A bank's table is checked against the schema before anything is computed: an unknown category, text where numbers are
meant, or a missing label is refused with the column's name and what would be accepted, never repaired silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning.columns import (
    booleans,
    codes,
    count_of,
    numbers,
    places,
    require_columns,
    time_part,
    timestamps,
)
from learning.errors import DataRejected
from learning.privacy import RandBytes

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]
#: A categorical feature's codes are exact in float32 and fit into a byte of bins.
MAX_LEVELS = 250


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericFeature(_Frozen):
    """A number; missing values are allowed.

    Attributes:
        name: of its column.
        low: a public bound of the values, declared and not looked up in the data; `random_gbdt` needs both bounds
            unless its `edges` are `"sketched"`.
        high: the other bound.
    """

    kind: Literal["numeric"] = "numeric"
    name: ColumnName
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> NumericFeature:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"feature {self.name!r}: low must be below high")
        return self


class BooleanFeature(_Frozen):
    """True or false, or 1 and 0; missing values are allowed.

    Attributes:
        name: of its column.
    """

    kind: Literal["boolean"] = "boolean"
    name: ColumnName


class CategoricalFeature(_Frozen):
    """One of the declared levels; missing values are allowed.

    Attributes:
        name: of its column.
        levels: what may be in it, as text.
        unknown: what another level than those is: refused, or taken as missing.
    """

    kind: Literal["categorical"] = "categorical"
    name: ColumnName
    levels: tuple[str, ...] = Field(min_length=1, max_length=MAX_LEVELS)
    unknown: Literal["refuse", "missing"] = "refuse"

    @model_validator(mode="after")
    def _distinct(self) -> CategoricalFeature:
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"feature {self.name!r}: levels must be distinct")
        return self


class TimeFeature(_Frozen):
    """A part of a timestamp column, in UTC.

    Attributes:
        name: of the feature.
        column: with the timestamps.
        part: hour of the day (with minutes), weekday (Monday is 0), weekend, or night (0 to 6).
    """

    kind: Literal["time"] = "time"
    name: ColumnName
    column: ColumnName
    part: Literal["hour", "weekday", "weekend", "night"]


Feature = Annotated[NumericFeature | BooleanFeature | CategoricalFeature | TimeFeature, Field(discriminator="kind")]


class Split(_Frozen):
    """Which rows train, which stop the training early, and which judge the model.

    By time, where the schema has a time column: rows before `validation_from` train, rows before `test_from` validate,
    later ones test. Otherwise by row, from a public seed (rows of one customer then fall on both sides).

    Attributes:
        validation_from: ISO timestamp, UTC where it has no zone, or None for no validation rows.
        test_from: ISO timestamp, or None for no test rows.
        label_delay_days: how long after a transaction its label is known; rows that were not yet labelled when the next
            part begins are in none: a model trained on that day could not have learned from them.
        validation_share: part of the rows, without times.
        test_share: part of the rows, without times.
        seed: of the split by row.
    """

    validation_from: datetime | None = None
    test_from: datetime | None = None
    label_delay_days: int = Field(default=0, ge=0, le=365)
    validation_share: float = Field(default=0.0, ge=0, lt=1)
    test_share: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=1 << 53)

    @model_validator(mode="after")
    def _consistent(self) -> Split:
        by_time = self.validation_from is not None or self.test_from is not None
        if by_time and (self.validation_share or self.test_share):
            raise ValueError("split: give times or shares, not both")
        if self.validation_from and self.test_from and not _utc(self.validation_from) < _utc(self.test_from):
            raise ValueError("split: validation_from must be before test_from")
        if self.label_delay_days and not by_time:
            raise ValueError("split: label_delay_days needs validation_from or test_from")
        if self.validation_share + self.test_share >= 1:
            raise ValueError("split: validation_share and test_share together must be below 1")
        return self

    @property
    def by_time(self) -> bool:
        """Whether the split is by time."""
        return self.validation_from is not None or self.test_from is not None


_NO_SPLIT = Split()


class FeatureSchema(_Frozen):
    """A model's inputs.

    Attributes:
        version: of this form of schema.
        features: in the model's order.
        label: column that is 1 or True for a confirmed fraud.
        weight: column with positive row weights, or None.
        time: column with the transaction's time, for a split by time, or None.
        split: which rows train, validate and test.
    """

    version: Literal[1] = 1
    features: tuple[Feature, ...] = Field(min_length=1, max_length=4096)
    label: ColumnName
    weight: ColumnName | None = None
    time: ColumnName | None = None
    split: Split = Split()

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSchema:
        names = [feature.name for feature in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"features: {repeated[0]!r} is named twice")
        if self.label in names:
            raise ValueError(f"label: {self.label!r} is a feature as well; the model would only repeat it")
        if self.weight in names:
            raise ValueError(f"weight: {self.weight!r} is a feature as well")
        if self.split.by_time and self.time is None:
            raise ValueError("split: a split by time needs the schema's time column")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a bank's table must have to train."""
        sources = [feature.column if isinstance(feature, TimeFeature) else feature.name for feature in self.features]
        return tuple(dict.fromkeys([*sources, self.label, *filter(None, (self.weight, self.time))]))


class Part(IntEnum):
    """What a row is used for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    UNLABELLED = 3


#: What is learned from or judged by.
USED_PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST)


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What was found in one column; goes to the bank's own people only.

    Attributes:
        column: its name.
        kind: the feature's kind.
        missing: missing values.
        distinct: distinct values.
    """

    column: str
    kind: str
    missing: int
    distinct: int


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A bank's rows, checked.

    Attributes:
        X: float32, shape (n, f): numbers as they are, categories as codes, missing as NaN.
        y: uint8, shape (n,), 0 or 1.
        weight: float64, shape (n,), or None for all 1.
        part: uint8, shape (n,), a `Part` a row.
        randbytes: source of cryptographic randomness, for plans with privacy noise.
    """

    X: NDArray[np.float32]
    y: NDArray[np.uint8]
    weight: NDArray[np.float64] | None
    part: NDArray[np.uint8]
    randbytes: RandBytes | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.y)


def prepare(frame: pd.DataFrame, schema: FeatureSchema, *, randbytes: RandBytes | None = None) -> Dataset:
    """Checks a bank's table against the schema, and lays it out for learning. An empty table is allowed.

    Args:
        frame: the bank's table.
        schema: from the plan.
        randbytes: for plans with privacy noise: ``os.urandom`` at a bank.

    Raises:
        DataRejected: a column is missing, twice there, or not of its type; the sentence names it.
    """
    require_columns(frame, schema.columns)
    return Dataset(
        X=features_of(frame, schema), y=_label(frame, schema.label), weight=_weight(frame, schema.weight),
        part=_parts(frame, schema), randbytes=randbytes,
    )  # fmt: skip


def features_of(frame: pd.DataFrame, schema: FeatureSchema) -> NDArray[np.float32]:
    """The model's inputs alone, float32 of shape (n, f): for scoring, where there is no label yet.

    Raises:
        DataRejected: as `prepare`.
    """
    sources = [feature.column if isinstance(feature, TimeFeature) else feature.name for feature in schema.features]
    require_columns(frame, sources)
    X = np.empty((len(frame), len(schema.features)), dtype=np.float32)
    for index, feature in enumerate(schema.features):
        X[:, index] = _values(frame, feature)
    return X


def report(frame: pd.DataFrame, schema: FeatureSchema) -> list[ColumnReport]:
    """What is in each feature's column, for the bank itself; the table is checked as by `prepare`."""
    X = features_of(frame, schema)
    return [
        ColumnReport(feature.name, feature.kind, int(np.isnan(X[:, k]).sum()), len(np.unique(X[~np.isnan(X[:, k]), k])))
        for k, feature in enumerate(schema.features)
    ]


def _values(frame: pd.DataFrame, feature: Feature) -> NDArray[np.float32]:
    match feature:
        case TimeFeature():
            return time_part(timestamps(frame, feature.column), feature.part)
        case CategoricalFeature():
            return codes(frame[feature.name], feature.name, feature.levels, unknown=feature.unknown)
        case BooleanFeature():
            return booleans(frame[feature.name], feature.name)
        case NumericFeature():
            return numbers(frame[feature.name], feature.name)


def _label(frame: pd.DataFrame, name: str) -> NDArray[np.uint8]:
    column = frame[name]
    missing = column.isna()
    if missing.any():
        raise DataRejected(name, expected="a label in every row", got=count_of(missing, "rows without"))
    if not len(column):
        return np.empty(0, dtype=np.uint8)
    return booleans(column, name).astype(np.uint8)


def _weight(frame: pd.DataFrame, name: str | None) -> NDArray[np.float64] | None:
    if name is None:
        return None
    values = numbers(frame[name], name).astype(np.float64)
    wrong = ~(values > 0)
    if wrong.any():
        raise DataRejected(name, expected="a positive weight in every row", got=count_of(wrong, "others"))
    return values


def _parts(frame: pd.DataFrame, schema: FeatureSchema) -> NDArray[np.uint8]:
    split = schema.split
    part = np.full(len(frame), Part.TRAIN, dtype=np.uint8)
    if split.by_time:
        assert schema.time is not None
        times = timestamps(frame, schema.time)
        for code, since in ((Part.VALIDATION, split.validation_from), (Part.TEST, split.test_from)):
            if since is not None:
                late = _utc(since) - pd.Timedelta(days=split.label_delay_days)
                part[(times >= late).to_numpy()] = Part.UNLABELLED
                part[(times >= _utc(since)).to_numpy()] = code
        return part
    if split.validation_share or split.test_share:
        uniform = np.random.Generator(np.random.Philox(key=split.seed)).random(len(frame))
        part[uniform >= 1 - split.test_share - split.validation_share] = Part.VALIDATION
        part[uniform >= 1 - split.test_share] = Part.TEST
    return part


def _utc(moment: datetime) -> pd.Timestamp:
    stamp = pd.Timestamp(moment)
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


def infer_schema(
    frame: pd.DataFrame,
    *,
    label: str,
    exclude: tuple[str, ...] = (),
    time: str | None = None,
    split: Split = _NO_SPLIT,
) -> FeatureSchema:
    """A schema from a table: numbers are numeric, few distinct texts categorical; ids and times are left out.

    For benchmarks and first drafts of a plan: a consortium declares its schema, it does not look it up at one bank.

    Raises:
        DataRejected: no column is left, the label is missing, or a column holds lists and the like.
    """
    require_columns(frame, [label])
    features: list[Feature] = []
    for name in map(str, frame.columns):
        if name in {label, time, *exclude}:
            continue
        column = frame[name]
        if pd.api.types.is_bool_dtype(column):
            features.append(BooleanFeature(name=name))
        elif pd.api.types.is_numeric_dtype(column):
            features.append(NumericFeature(name=name))
        elif not pd.api.types.is_datetime64_any_dtype(column):
            levels = sorted(map(str, places(column, name, expected="texts, booleans, numbers or times")[1]))
            if 0 < len(levels) <= MAX_LEVELS:
                features.append(CategoricalFeature(name=name, levels=tuple(levels)))
    if not features:
        raise DataRejected(label, expected="at least one usable feature beside the label", got="none")
    return FeatureSchema(features=tuple(features), label=label, time=time, split=split)
