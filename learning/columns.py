"""A table's columns as numbers: what is accepted is converted, anything else refused by the column's name.

Nothing is guessed: a text in a column of booleans, a time that is not ISO 8601 (is 01/02 in January or in February?)
or an unknown category is an error of the table, never silently a missing value.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.errors import DataRejected

#: What nanoseconds since 1970 reach.
_FIRST, _LAST = pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp.max.tz_localize("UTC")


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...] | list[str]) -> None:
    """Raises `DataRejected` for a column that is missing or twice there."""
    there = list(frame.columns)
    for column in columns:
        count = there.count(column)
        if count != 1:
            raise DataRejected(column, expected="one column of this name", got="none" if count == 0 else f"{count}")


def first_of(wrong: pd.Series | NDArray[np.bool_]) -> str:
    """Where the first of the wrong rows is, for a sentence: rows are counted from 1, a header is none.

    Args:
        wrong: bool, shape (n,).
    """
    at = np.flatnonzero(np.asarray(wrong, dtype=bool))
    return f" (the first in row {at[0] + 1})" if len(at) else ""


def count_of(wrong: pd.Series | NDArray[np.bool_], what: str) -> str:
    """How many rows are wrong and where the first is, for a sentence; arguments as for `first_of`."""
    return f"{int(np.count_nonzero(wrong))} {what}{first_of(wrong)}"


def no_numbers(values: pd.Series) -> NDArray[np.bool_]:
    """Which values of a column are there and are no numbers: bool, shape (n,); none where that cannot be told."""
    try:
        return (values.notna() & pd.to_numeric(values, errors="coerce").isna()).to_numpy(dtype=bool)
    except (ValueError, TypeError, ArithmeticError):  # an integer beyond all bounds, say
        return np.zeros(len(values), dtype=bool)


def others_than_numbers(values: pd.Series) -> str:
    """How many rows of a column that is not one of numbers are at fault, and where the first is, for a sentence."""
    wrong = no_numbers(values)
    if wrong.any():
        return count_of(wrong, "rows with other values")
    texts = np.array([isinstance(value, str) for value in values], dtype=bool)
    if texts.any():
        return count_of(texts, "rows with text")  # that could be read as a number, but nothing is guessed
    return count_of(values.notna(), f"rows with values of type {pd.api.types.infer_dtype(values)}")


def no_times(values: pd.Series) -> NDArray[np.bool_]:
    """Which values of a column are there and are no time in ISO 8601: bool, shape (n,)."""
    try:
        times = pd.to_datetime(values, utc=True, format="ISO8601", errors="coerce")
        beyond = (times < _FIRST) | (times > _LAST)
    except (ValueError, TypeError, OverflowError):  # nothing in a column of this type is one
        return values.notna().to_numpy()
    return (values.notna() & (times.isna() | beyond)).to_numpy(dtype=bool)


def places(
    column: pd.Series, name: str, *, expected: str = "identifiers (texts or numbers)"
) -> tuple[NDArray[np.int64], Any]:
    """Where each row's value stands among the column's different values: int64 of shape (n,), -1 for a missing one; and
    those values, in the order in which they come.

    Raises:
        DataRejected: values that cannot be told apart, such as lists.
    """
    try:
        found_at, found = pd.factorize(column, use_na_sentinel=True)
    except TypeError as error:
        wrong = np.array([not isinstance(value, Hashable) for value in column], dtype=bool)
        raise DataRejected(name, expected=expected, got=f"values of other kinds{first_of(wrong)}") from error
    return found_at.astype(np.int64, copy=False), found


def numbers(column: pd.Series, name: str) -> NDArray[np.float32]:
    """A column of numbers, float32 of shape (n,), missing values as NaN.

    Raises:
        DataRejected: other than numbers, infinite ones, or some beyond float32.
    """
    kind = column.dtype
    real = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
    if not (real or pd.api.types.is_bool_dtype(kind)):
        if not column.isna().all():
            raise DataRejected(name, expected="numbers", got=others_than_numbers(column))
        return np.full(len(column), np.nan, dtype=np.float32)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        got = count_of(infinite, "infinite ones")
        raise DataRejected(name, expected="finite numbers, or missing values", got=got)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if np.isinf(narrow).any():
        raise DataRejected(name, expected="numbers below 3.4e38", got=count_of(np.isinf(narrow), "larger ones"))
    return narrow


def booleans(column: pd.Series, name: str) -> NDArray[np.float32]:
    """A column of True and False, or 1 and 0: float32 of shape (n,), missing values as NaN.

    Raises:
        DataRejected: anything else, texts included.
    """
    expected = "True, False, 1, 0 or missing values"
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        column = column.astype("object").where(column.notna(), np.nan)
        other = np.array([not isinstance(value, bool | int | float | np.bool_ | np.number) for value in column])
        if other.any():
            raise DataRejected(name, expected=expected, got=count_of(other, "others"))
        try:
            column = column.astype(np.float64)
        except OverflowError as error:  # an integer beyond all bounds
            raise DataRejected(name, expected=expected, got="others") from error
    values = numbers(column, name)
    other = ~np.isnan(values) & ~np.isin(values, (0.0, 1.0))
    if other.any():
        raise DataRejected(name, expected=expected, got=count_of(other, "others"))
    return values


def codes(
    column: pd.Series, name: str, levels: Sequence[str], *, unknown: Literal["refuse", "missing"]
) -> NDArray[np.float32]:
    """A column of categories as places among the levels, float32 of shape (n,), missing values as NaN.

    Args:
        column: texts, booleans or numbers; 1.0 is the level "1", because a missing value turns integers into floats.
        name: the column's.
        levels: the declared ones.
        unknown: what another level than those is.

    Raises:
        DataRejected: values that are no levels at all, or unknown levels that are to be refused.
    """
    place_of, found = places(column.astype("object"), name, expected="texts, booleans or numbers")
    code_of = {level: float(code) for code, level in enumerate(levels)}
    by_place = np.array([_code(value, code_of) for value in found] + [np.nan], dtype=np.float32)
    values = by_place[place_of]
    strange = np.isnan(values) & (place_of >= 0)
    if strange.any() and unknown == "refuse":
        raise DataRejected(
            name,
            expected=f"one of the {len(levels)} declared levels (or unknown set to 'missing')",
            got=count_of(strange, "rows with another one"),
        )
    return values


def _code(value: Any, code_of: dict[str, float]) -> float:
    known = code_of.get(str(value))
    if known is None and isinstance(value, float | np.floating) and float(value).is_integer():
        known = code_of.get(str(int(value)))
    return np.nan if known is None else known


def timestamps(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column as timestamps; texts are ISO 8601, times without a zone are UTC.

    Raises:
        DataRejected: something in it is no time, or is missing.
    """
    require_columns(frame, [column])
    raw = frame[column]
    expected = "timestamps, such as 2026-01-31T12:00:00"
    if not len(raw):
        return pd.Series(pd.DatetimeIndex([], tz="UTC"), index=raw.index)
    if pd.api.types.is_numeric_dtype(raw):
        raise DataRejected(column, expected=expected, got=f"numbers of type {raw.dtype}")
    if pd.api.types.is_object_dtype(raw) and any(isinstance(value, int | float) for value in raw.dropna()):
        raise DataRejected(column, expected=expected, got="numbers among them")
    try:
        times = pd.to_datetime(raw, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError) as error:
        raise DataRejected(column, expected=expected, got=f"other values{first_of(no_times(raw))}") from error
    if times.isna().any():
        raise DataRejected(column, expected="a time in every row", got=count_of(times.isna(), "rows without"))
    return times


def time_part(times: pd.Series, part: Literal["hour", "weekday", "weekend", "night"]) -> NDArray[np.float32]:
    """A part of each timestamp, float32 of shape (n,), in UTC."""
    hour = times.dt.hour + times.dt.minute / 60
    values = {
        "hour": hour, "weekday": times.dt.day_of_week, "weekend": times.dt.day_of_week >= 5, "night": hour < 6,
    }[part]  # fmt: skip
    return np.asarray(values, dtype=np.float32)
