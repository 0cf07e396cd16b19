"""The first sum of every model: how many rows and frauds there are, with which weight, in which part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.errors import AggregateImplausible, DataRejected
from learning.schema import USED_PARTS, Dataset, Part

#: Rows by part and label, then the training rows' weight by label.
COUNT_VALUES = 2 * len(USED_PARTS) + 2
SUM_BITS = 44


@dataclass(frozen=True, slots=True)
class Counts:
    """What all banks have together.

    Attributes:
        rows: by part, then by label: ((rest, frauds), …).
        weight: of the training rows, by label.
    """

    rows: tuple[tuple[int, int], ...]
    weight: tuple[float, float]

    @classmethod
    def of(cls, data: Dataset, weight: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """One bank's part of the sum, float64 of shape (COUNT_VALUES,).

        Args:
            data: the bank's rows.
            weight: floats, shape (n,), class weights included.
        """
        counts = [int(((data.part == part) & (data.y == label)).sum()) for part in USED_PARTS for label in (0, 1)]
        train = data.part == Part.TRAIN
        weights = [float(weight[train & (data.y == label)].sum(dtype=np.float64)) for label in (0, 1)]
        return np.array([*counts, *weights], dtype=np.float64)

    @classmethod
    def read(cls, name: str, values: NDArray[np.float64]) -> Counts:
        """The sum.

        Raises:
            AggregateImplausible: negative counts, training rows of one class only, or without weight.
        """
        if (values < 0).any():
            raise AggregateImplausible(name, expected="counts of at least 0", got="a negative one")
        rows = tuple((int(values[2 * part]), int(values[2 * part + 1])) for part in USED_PARTS)
        if not rows[Part.TRAIN][0] or not rows[Part.TRAIN][1]:
            frauds = rows[Part.TRAIN][1]
            raise AggregateImplausible(
                name, expected="training rows of both classes over all banks",
                got=f"{sum(rows[Part.TRAIN])} rows, {frauds} of them frauds",
            )  # fmt: skip
        if not (values[-2:] > 0).all():
            raise AggregateImplausible(
                name, expected="training rows whose weight is above the sum's resolution",
                got="a weight of 0 for one of the classes; multiply all weights by a constant",
            )  # fmt: skip
        return cls(rows, (float(values[-2]), float(values[-1])))

    def require_validation(self, name: str) -> None:
        """Raises `AggregateImplausible` unless there is something to stop early by: AP needs frauds among others."""
        rest, frauds = self.rows[Part.VALIDATION]
        if not rest or not frauds:
            raise AggregateImplausible(
                name, expected="validation rows of both classes over all banks, to stop early by",
                got=f"{rest + frauds} rows, {frauds} of them frauds; see inputs.split",
            )  # fmt: skip

    @property
    def total_rows(self) -> int:
        """Rows of all parts."""
        return sum(sum(labels) for labels in self.rows)

    @property
    def rate(self) -> float:
        """The training rows' weighted fraud rate."""
        return self.weight[1] / (self.weight[0] + self.weight[1])

    @property
    def bound(self) -> float:
        """A power of two above every weight and count."""
        return float(2 ** math.ceil(math.log2(max(self.total_rows, self.weight[0] + self.weight[1]) + 1)))

    def volumes(self) -> dict[str, Any]:
        """For the model and its card."""
        return {
            f"{part.name.lower()}_{what}": value
            for part in USED_PARTS
            for what, value in (("rows", sum(self.rows[part])), ("frauds", self.rows[part][1]))
        }


def count_bound(max_rows: int, scale_pos_weight: float) -> float:
    """A power of two that no count and no weight of all banks together is above.

    Raises:
        ValueError: it is beyond what a sum can hold in whole numbers.
    """
    bound = float(2.0 ** math.ceil(math.log2(max_rows * max(1.0, scale_pos_weight))))
    if bound > 2.0**SUM_BITS:
        raise ValueError(f"max_rows: times scale_pos_weight expected at most 2^{SUM_BITS}, got {bound:g}; lower one")
    return bound


def require_within(data: Dataset, weight: NDArray[np.floating[Any]], bound: float, column: str | None) -> None:
    """Checks one bank's rows before they are counted.

    Args:
        data: the bank's rows.
        weight: float64, shape (n,), class weights included.
        bound: of the count's query.
        column: that the weights come from, if any.

    Raises:
        DataRejected: more rows or weight than the plan allows for.
    """
    if data.rows > bound:
        raise DataRejected("rows", expected=f"at most {bound:.0f} (the plan's max_rows)", got="more")
    if weight.sum() > bound:
        raise DataRejected(
            column or "rows", expected=f"weights that sum to at most {bound:.0f} (max_rows · scale_pos_weight)",
            got="a larger sum; divide all weights by a constant, or raise the plan's max_rows",
        )  # fmt: skip


def resolution_of(bound: float) -> float:
    """The finest power of two with which a sum of this bound takes at most `SUM_BITS` bits."""
    return float(2.0 ** (math.ceil(math.log2(bound)) - SUM_BITS))
