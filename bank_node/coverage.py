"""Whether a bank's rows, which fit a plan, have what it learns from: the days that it counts, columns with differences.

A bank without a row of the days would contribute zeros, and be counted to those among whom the others hide.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bank_node.errors import DataUnfit
from learning.algorithms import AnySettings
from learning.drift import DriftSettings
from learning.entities import EntityRows, EntityTableSettings
from learning.schema import Dataset, FeatureSchema, Part


def warnings_of(where: str, settings: AnySettings, frame: pd.DataFrame, data: Dataset | EntityRows) -> list[str]:
    """Sentences on what the rows have little of, for the bank's own people.

    Args:
        where: what is asked for.
        settings: its algorithm's.
        frame: the bank's rows, at least one.
        data: the same, prepared.

    Raises:
        DataUnfit: none of the rows is of the days that an entity table counts, or trains the model.
    """
    if isinstance(settings, EntityTableSettings):
        return _of_days(where, settings, frame[settings.time])
    assert isinstance(data, Dataset)  # what is no entity table has a feature schema
    trains = not isinstance(settings, DriftSettings)  # which compares the parts
    split = _of_split(where, settings.inputs, frame, data, trains=trains)
    return [*split, *_of_inputs(where, settings.inputs.names, data)]


def _of_days(where: str, settings: EntityTableSettings, times: pd.Series) -> list[str]:
    days = times.to_numpy().astype("datetime64[D]")
    first, last = np.datetime64(settings.first_day, "D"), np.datetime64(settings.last_day, "D")
    asked = f"{settings.first_day} to {settings.last_day}"
    own = f"this bank's rows are of {days.min()} to {days.max()}"
    within = days[(days >= first) & (days <= last)]
    if not len(within):
        raise DataUnfit(
            where, column=settings.time, expected=f"rows of the days that the plan counts, {asked}", got="none of them",
            advice="bring the dataset up to date, or ask the operator for a plan of other days", only_here=own,
        )  # fmt: skip
    all_days = (settings.last_day - settings.first_day).days + 1
    missing = all_days - np.count_nonzero(np.bincount((within - first).astype(np.int64)))
    if not missing:
        return []
    return [f"{where}, column {settings.time!r}: no rows of {missing} of the {all_days} days {asked}; {own}"]


def _of_split(where: str, inputs: FeatureSchema, frame: pd.DataFrame, data: Dataset, *, trains: bool) -> list[str]:
    times = None if inputs.time is None else frame[inputs.time]
    own = "" if times is None else f"this bank's rows are of {times.min()} to {times.max()}"
    there = set(np.unique(data.part).tolist())
    if trains and Part.TRAIN not in there:
        raise DataUnfit(
            where, column=inputs.time, expected="rows that train the model, by the plan's split", got="none",
            advice="bring the dataset up to date, or ask the operator whether the split is meant so", only_here=own,
        )  # fmt: skip
    split = inputs.split
    asked = {
        Part.VALIDATION: (split.validation_from, split.validation_share),
        Part.TEST: (split.test_from, split.test_share),
    }
    return [
        f"{where}: by the plan's split this bank has no {part.name.lower()} rows" + (f"; {own}" if own else "")
        for part, given in asked.items()
        if any(given) and part not in there
    ]


def _of_inputs(where: str, names: tuple[str, ...], data: Dataset) -> list[str]:
    least, most = np.fmin.reduce(data.X, axis=0), np.fmax.reduce(data.X, axis=0)  # NaN only where all are missing
    found = []
    for name, low, high, values in zip(names, least, most, data.X.T, strict=True):
        if np.isnan(low):
            found.append(f"{where}, input {name!r}: missing in all of this bank's rows")
        elif low == high and not np.isnan(values).any():
            found.append(f"{where}, input {name!r}: the same value in all of this bank's rows")
    return found
