"""Evaluation under noise: scores in a few groups, each large enough to stand out of the noise.

A fine histogram of scores has thousands of cells, and the noise of each adds up to more than there are frauds. So two
sums are asked. The *spread* counts all judged rows, frauds or not, by half units of log-odds; from it everyone derives
the same cuts of the scores at public alert budgets (0.1 % of the rows, 0.2 %, …), leaving out those that would hold too
few rows. The second sum counts validation and test rows by label between the cuts. For metrics, the rows of a group
are taken as spread evenly over its scores, which is where they differ from those of an evaluation without noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning.evaluation import CELLS_A_UNIT, SCORE_CELLS

#: Fine cells of a cell of the spread: half a unit of log-odds.
_SPREAD_WIDTH = CELLS_A_UNIT // 2
SPREAD_CELLS = (SCORE_CELLS - 2) // _SPREAD_WIDTH
#: Cumulative parts of the rows, from the highest score down, at which the scores are cut.
_BUDGETS = (
    0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9,
)  # fmt: skip
#: A group is expected to hold at least so many standard deviations of its noise.
_LEAST_GROUP = 4.0
#: A cell of the spread that holds less than so many standard deviations of the noise counts as empty.
_SIGNIFICANT = 3.0


def spread_of(scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fine histograms added up and in half units, int64 of shape (SPREAD_CELLS,).

    Args:
        scores: int64, shape (..., SCORE_CELLS); what lies beyond either end joins the last cell there.
    """
    cells = scores.reshape(-1, SCORE_CELLS).sum(axis=0)
    spread = cells[1:-1].reshape(SPREAD_CELLS, _SPREAD_WIDTH).sum(axis=1)
    spread[0] += cells[0]
    spread[-1] += cells[-1]
    return np.asarray(spread, dtype=np.int64)


def cuts_of(spread: NDArray[np.float64], spread_sigma: float, group_sigma: float) -> NDArray[np.int64]:
    """Where the scores are cut: ascending fine cells, the first of every group and one beyond the last group.

    The first and the last cut are the ends of the occupied scores; `counts_between` puts rows beyond them into the
    outermost groups.

    Args:
        spread: float64, shape (SPREAD_CELLS,), the noised sum.
        spread_sigma: standard deviation of its noise.
        group_sigma: standard deviation of the noise that the groups will have.
    """
    rows = np.where(spread > _SIGNIFICANT * spread_sigma, spread, 0.0)
    occupied = np.flatnonzero(rows)
    if len(occupied) == 0:
        return np.array([1, SCORE_CELLS - 1], dtype=np.int64)
    low, high = 1 + occupied[0] * _SPREAD_WIDTH, 1 + (occupied[-1] + 1) * _SPREAD_WIDTH
    above = np.cumsum(np.repeat(rows / _SPREAD_WIDTH, _SPREAD_WIDTH)[::-1])
    cuts, before = [int(high)], 0.0
    for budget in _BUDGETS:
        wanted = budget * above[-1]
        cell = SCORE_CELLS - 2 - int(np.searchsorted(above, wanted))
        if wanted - before >= _LEAST_GROUP * group_sigma and low < cell < cuts[-1]:
            cuts.append(cell)
            before = wanted
    return np.array([low, *cuts[1:][::-1], high], dtype=np.int64)


def counts_between(scores: NDArray[np.int64], cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fine histograms in groups, int64 of shape (..., len(cuts) − 1).

    Args:
        scores: int64, shape (..., SCORE_CELLS).
        cuts: as `cuts_of` gives them.
    """
    starts = np.concatenate([[0], cuts[1:-1]])
    return np.asarray(np.add.reduceat(scores, starts, axis=-1), dtype=np.int64)


def unfold(counts: NDArray[np.float64], cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Histograms whose groups are spread evenly over their cells, int64 of shape (..., SCORE_CELLS).

    Where the noise leaves less than nothing in a group, the next lower one pays: sums from the highest score down,
    which the metrics are made of, stay without bias.

    Args:
        counts: float64, shape (..., len(cuts) − 1), noised.
        cuts: as `cuts_of` gives them.
    """
    scores = np.zeros((*counts.shape[:-1], SCORE_CELLS), dtype=np.int64)
    owed = np.zeros(counts.shape[:-1])
    for group in range(len(cuts) - 1)[::-1]:
        there = counts[..., group] + owed
        owed = np.minimum(there, 0.0)
        first, end = int(cuts[group]), int(cuts[group + 1])
        reached = np.maximum(there, 0.0)[..., None] * np.linspace(0.0, 1.0, end - first + 1)
        scores[..., first:end] = np.diff(np.rint(reached).astype(np.int64), axis=-1)
    return scores
