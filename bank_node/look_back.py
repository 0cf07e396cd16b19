"""What customer profiles look back on when a file is scored: the bank's own earlier rows, beside the file's.

A file of one day says nothing about the customers' month. The plan's dataset does, and may hold the day's rows as well:
those are told by customer, time and amount, and count once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from learning.columns import numbers, places
from protocol.features import FeatureRecipe


@dataclass(frozen=True, slots=True)
class LookBack:
    """How far back the rows reach on which profiles look back.

    Attributes:
        dataset: where they are.
        column: with the time of a transaction.
        rows: how many there are.
        first: the earliest one's time; None without rows.
        last: the latest one's time.
        scored_from: the earliest time among the rows to score; None without rows.
        windows_days: windows of the profiles.
        strangers: whether no customer among the rows to score is among these rows.
    """

    dataset: str
    column: str
    rows: int
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    scored_from: pd.Timestamp | None
    windows_days: tuple[int, ...]
    strangers: bool

    @property
    def days(self) -> float:
        """Days before the first row to score; 0 without earlier rows."""
        if self.first is None or self.scored_from is None:
            return 0.0
        return max(0.0, (self.scored_from - self.first) / pd.Timedelta(days=1))

    @property
    def gap_days(self) -> float:
        """Days between the latest earlier row and the first row to score; 0 where they overlap."""
        if self.last is None or self.scored_from is None:
            return 0.0
        return max(0.0, (self.scored_from - self.last) / pd.Timedelta(days=1))

    def warnings(self) -> list[str]:
        """Sentences on profiles that are not what they were in training."""
        where, longest = f"dataset {self.dataset!r}, column {self.column!r}", max(self.windows_days)
        if self.scored_from is None:
            return []
        found = []
        if self.days < longest:
            found.append(
                f"{where}: customer profiles look back {longest} days, the earlier rows reach back {self.days:.1f} "
                "days before the first row to score: scores are as for customers of whom little is known"
            )
        if self.gap_days > min(self.windows_days):
            found.append(
                f"{where}: there are no rows of the {self.gap_days:.1f} days before the first row to score: bring the "
                "dataset up to date, or profiles are too low"
            )
        if self.strangers and self.rows:
            found.append(f"{where}: it knows none of the customers to score: are they written as in the dataset?")
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        shown = {name: None if at is None else at.isoformat() for name, at in (("from", self.first), ("to", self.last))}
        return {"dataset": self.dataset, "rows": self.rows, **shown, "days": round(self.days, 2)}


def look_back(
    scored: pd.DataFrame, dataset: pd.DataFrame, recipe: FeatureRecipe
) -> tuple[pd.DataFrame, pd.DataFrame, LookBack]:
    """Rows to score and earlier rows, ready for `learning.profiles.customer_profiles`.

    Args:
        scored: rows to score.
        dataset: the plan's dataset, or some of it.
        recipe: names the columns with customer, time and amount; times are datetime64 in both.

    Returns:
        Customer, time and amount of the rows to score; those of the dataset's rows up to the last row to score and
        without those that are to be scored themselves; and how far these reach.

    Raises:
        DataRejected: amounts are no numbers, or customers neither texts nor numbers.
    """
    assert recipe.customer is not None
    assert recipe.time is not None
    assert recipe.amount is not None
    for part in (scored, dataset):
        _require_identifiers(part[recipe.customer], recipe.customer)
    columns = [recipe.customer, recipe.time, recipe.amount]
    scored, dataset = scored[columns].copy(), dataset[columns]
    times = scored[recipe.time]
    # A time that is missing is kept, so that it is refused and not passed over.
    dataset = dataset[~(dataset[recipe.time] > times.max())].copy() if len(scored) else dataset.iloc[:0].copy()
    _write_alike(scored, dataset, recipe.customer)
    earlier = dataset[~_is_among(dataset, scored, columns)]
    reach = LookBack(
        dataset=recipe.dataset, column=recipe.time, rows=len(earlier),
        first=earlier[recipe.time].min() if len(earlier) else None,
        last=earlier[recipe.time].max() if len(earlier) else None,
        scored_from=times.min() if len(scored) else None, windows_days=recipe.profile_windows_days,
        strangers=not scored[recipe.customer].isin(earlier[recipe.customer].dropna().unique()).any(),
    )  # fmt: skip
    return scored, earlier, reach


def _require_identifiers(values: pd.Series, column: str) -> None:
    # All texts, or all numbers, are told by their type or in one quick pass.
    if values.dtype == object and pd.api.types.infer_dtype(values).startswith("mixed"):
        places(values, column)


def _write_alike(one: pd.DataFrame, other: pd.DataFrame, column: str) -> None:
    """Identifiers that one file reads as numbers and the other as text are the same ones."""
    if one[column].dtype != other[column].dtype:
        one[column], other[column] = _texts(one[column], column), _texts(other[column], column)


def _texts(values: pd.Series, column: str) -> pd.Series:
    place_of, found = places(values, column)
    texts = np.array([*(_text(value) for value in found), None], dtype=object)
    return pd.Series(texts[place_of], index=values.index, dtype=object)


def _text(value: object) -> str:
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def _is_among(rows: pd.DataFrame, others: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Which rows are among the others. Of equal ones as many as the others have: a customer may pay twice at once."""
    since = others[columns[1]].min()
    candidates = _numbered(rows[rows[columns[1]] >= since], columns)  # earlier ones cannot be
    found = candidates.merge(_numbered(others, columns), how="left", indicator=True)["_merge"] == "both"
    among = pd.Series(data=False, index=rows.index)
    among[candidates.index[found.to_numpy()]] = True
    return among


def _numbered(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    customer, time, amount = columns
    keys = pd.DataFrame(
        {"customer": rows[customer], "time": rows[time], "amount": numbers(rows[amount], amount)}, index=rows.index
    )
    return keys.assign(copy=keys.groupby(["customer", "time", "amount"], dropna=False).cumcount())
