"""What all file-backed sources share: renaming, the check for missing columns, and times."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from bank_node.errors import SEE_SETTINGS, DataUnfit
from learning.columns import first_of, no_times


def renamed(name: str, present: Sequence[str], rename: Mapping[str, str]) -> dict[str, str]:
    """Column as plans call it → column in the file.

    Raises:
        DataUnfit: a column to be renamed is not there, or two columns would have the same name. Which, only the bank's
            own people are told: they are names of its file.
    """
    for column in rename:
        if column not in present:
            raise DataUnfit(
                f"dataset {name!r}", column=None, expected="every column that the bank's settings rename",
                got="none of one of these names", advice=SEE_SETTINGS,
                only_here=f"there is no column {column!r} to rename",
            )  # fmt: skip
    mapping: dict[str, str] = {}
    for column in present:
        new = rename.get(column, column)
        if new in mapping:
            raise DataUnfit(
                f"dataset {name!r}", column=None, expected="columns of different names", got="two of one name",
                advice=SEE_SETTINGS,
                only_here=f"columns {mapping[new]!r} and {column!r} are both called {new!r}",
            )  # fmt: skip
        mapping[new] = column
    return mapping


def wanted(name: str, mapping: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """The file's columns for those that are wanted.

    Raises:
        DataUnfit: one is missing. Which others there are is not said: the operator reads the sentence too.
    """
    for column in columns:
        if column not in mapping:
            raise DataUnfit(
                f"dataset {name!r}", column=column, expected=f"a column {column!r}", got="none of that name",
                advice="name it so in the file, or map its name with rename in the dataset's settings in node.toml",
                only_here=_meant(column, mapping),
            )  # fmt: skip
    return [mapping[column] for column in columns]


def _meant(column: str, there: Iterable[str]) -> str:
    close = difflib.get_close_matches(column, there, n=1)
    return f"did they mean {close[0]!r}, which the file has?" if close else ""


def with_times(name: str, frame: pd.DataFrame, times: Sequence[str]) -> pd.DataFrame:
    """The frame with its time columns parsed to ``datetime64[ns]`` without a zone (UTC).

    Raises:
        DataUnfit: a value is not a time.
    """
    for column in times:
        values = frame[column]
        try:
            frame[column] = _as_times(values)
        except (ValueError, TypeError) as error:  # pandas' own for a time beyond nanoseconds is a ValueError
            got = f"a value that is not one, or not between 1678 and 2261{first_of(no_times(values))}"
            raise DataUnfit(f"dataset {name!r}", column=column, expected="times in ISO 8601", got=got) from error
    return frame


def _as_times(values: pd.Series) -> pd.Series:
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        if pd.api.types.is_integer_dtype(values.dtype):
            values = values.astype(str)  # 20260131 is ISO 8601 as well
        # In UTC at once: a bank's local times change their offset with the season.
        values = pd.to_datetime(values, format="ISO8601", utc=True)
    if values.dt.tz is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    return values.astype("datetime64[ns]")
