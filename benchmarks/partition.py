"""Spreads the rows of a table over banks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def partition(
    frame: pd.DataFrame, label: str, kind: str, banks: int, *, column: str | None = None
) -> NDArray[np.int64]:
    """Each row's bank, int64 of shape (n_rows,).

    iid        by lot
    skewed     banks differ in size (Zipf), in fraud rate and in where their rows lie along the main direction of the
               numeric columns: row i goes to bank b with probability ∝ exp(−log(b + 1) + c_b·z_i + l_b·y_i)
    by-column  by the column's values

    Raises:
        ValueError: by-column without a column, or an unknown kind.
    """
    rng = np.random.default_rng(7)
    if kind == "iid":
        return rng.integers(0, banks, len(frame))
    if kind == "by-column":
        if column is None:
            raise ValueError("partition by-column: name the column with --bank-column")
        codes, _ = pd.factorize(frame[column], sort=True)
        return codes.astype(np.int64)
    if kind != "skewed":
        raise ValueError(f"partition: expected iid, skewed or by-column, got {kind!r}")
    direction = _main_direction(frame.drop(columns=label))
    position, preference = rng.normal(0, 1.2, banks), rng.normal(0, 0.8, banks)
    logits = (
        -np.log(np.arange(1, banks + 1)) + np.outer(direction, position)
        + np.outer(frame[label].to_numpy(dtype=float), preference)
    )  # fmt: skip
    return np.asarray((logits + rng.gumbel(size=logits.shape)).argmax(axis=1), dtype=np.int64)


def _main_direction(frame: pd.DataFrame) -> NDArray[np.float64]:
    """The first principal component of the numeric columns' ranks, standardised."""
    numbers = frame.select_dtypes("number")
    ranks = numbers.rank(pct=True).fillna(0.5).to_numpy() - 0.5
    _, vectors = np.linalg.eigh(ranks.T @ ranks)
    along = ranks @ vectors[:, -1]
    return np.asarray(along / along.std())
