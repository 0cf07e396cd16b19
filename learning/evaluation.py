"""How good a model is over all banks, from two histograms of its scores: one of frauds, one of the rest.

Scores are binned by their log-odds on a public grid, so that no bank shows a score. Everything here is a function of
the two summed histograms; ties within a cell are counted as ties. The area under the precision-recall curve is the
average precision, AP = Σ (R_k − R_{k−1})·P_k, as scikit-learn has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.row_slices import row_slices

#: Cells of log-odds: 64 a unit from −16 to 16, and one at either end for what lies beyond.
CELLS_A_UNIT = 64
REACH = 16
SCORE_CELLS = 2 * REACH * CELLS_A_UNIT + 2
_CURVE_POINTS = 200


def score_cells(margins: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cell of each score, from its log-odds; ascending with the score."""
    cells = np.floor((np.asarray(margins, dtype=np.float64) + REACH) * CELLS_A_UNIT) + 1
    return np.asarray(np.clip(cells, 0, SCORE_CELLS - 1), dtype=np.int64)


def score_histogram(margins: NDArray[np.float64], y: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Counts by label and cell, int64 of shape (2, SCORE_CELLS): row 0 the rest, row 1 frauds."""
    cells = score_cells(margins)
    return np.stack([np.bincount(cells[y == label], minlength=SCORE_CELLS) for label in (0, 1)]).astype(np.int64)


def part_score_histogram(
    margins: NDArray[np.float64], y: NDArray[np.uint8], part: NDArray[np.uint8], wanted: int
) -> NDArray[np.int64]:  # fmt: skip
    """`score_histogram` of the rows of one part.

    Args:
        margins: float64, shape (n,), log-odds.
        y: uint8, shape (n,).
        part: uint8, shape (n,).
        wanted: which part.
    """
    counts = np.zeros((2, SCORE_CELLS), dtype=np.int64)
    for some in row_slices(len(margins)):
        chosen = part[some] == wanted
        counts += score_histogram(margins[some][chosen], y[some][chosen])
    return counts


def cell_probability(cell: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """The probability in the middle of a cell."""
    odds = (np.asarray(cell, dtype=np.float64) - 0.5) / CELLS_A_UNIT - REACH
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics and curves of one part of the rows.

    Attributes:
        rows, frauds: how many were scored.
        ap: average precision.
        auc: area under the ROC curve, ties counted half.
        recall_at_1pct_alerts: part of the frauds among the 1 % of rows with the highest scores.
        threshold_at_1pct_alerts: probability from which a row is among them.
        brier: mean squared error of the probabilities.
        calibration: (mean probability, observed rate, rows) by tenth of the rows.
        roc: (false positive rate, true positive rate) points.
        precision_recall: (recall, precision, probability threshold) points.
    """

    rows: int
    frauds: int
    ap: float
    auc: float
    recall_at_1pct_alerts: float
    threshold_at_1pct_alerts: float
    brier: float
    calibration: tuple[tuple[float, float, int], ...]
    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def average_precision(histogram: NDArray[np.int64]) -> float:
    """AP of two summed histograms; NaN without frauds.

    Args:
        histogram: int64, shape (2, cells), ascending scores.
    """
    rest, frauds = histogram[0, ::-1].astype(np.float64), histogram[1, ::-1].astype(np.float64)
    caught = np.cumsum(frauds)
    if caught[-1] == 0:
        return math.nan
    alerts = np.cumsum(rest) + caught
    precision = np.divide(caught, alerts, out=np.zeros_like(caught), where=alerts > 0)
    return float((frauds * precision).sum() / caught[-1])


def roc_auc(histogram: NDArray[np.int64]) -> float:
    """Area under the ROC curve, ties counted half; NaN with one class only."""
    rest, frauds = histogram.astype(np.float64)
    if rest.sum() == 0 or frauds.sum() == 0:
        return math.nan
    below = np.cumsum(rest) - rest
    return float((frauds * (below + rest / 2)).sum() / (rest.sum() * frauds.sum()))


def alert_cell(histogram: NDArray[np.int64], share: float) -> tuple[int, float]:
    """The cell that an alert budget ends in, and the part of that cell that is still within it.

    Args:
        histogram: int64, shape (2, cells).
        share: part of the rows that may be alerts.
    """
    both = histogram.sum(axis=0)[::-1].astype(np.float64)
    budget = share * both.sum()
    reached = np.cumsum(both)
    place = int(np.searchsorted(reached, budget))
    place = min(place, len(both) - 1)
    before = reached[place] - both[place]
    return len(both) - 1 - place, float((budget - before) / both[place]) if both[place] else 0.0


def recall_at(histogram: NDArray[np.int64], share: float) -> float:
    """Part of the frauds among the rows that an alert budget covers; NaN without frauds."""
    frauds = histogram[1].astype(np.float64)
    if frauds.sum() == 0:
        return math.nan
    cell, within = alert_cell(histogram, share)
    return float((frauds[cell + 1 :].sum() + within * frauds[cell]) / frauds.sum())


def evaluate(histogram: NDArray[np.int64]) -> Evaluation:
    """Everything that the two summed histograms say.

    Args:
        histogram: int64, shape (2, SCORE_CELLS).
    """
    counts = histogram.astype(np.float64)
    probability = cell_probability(np.arange(SCORE_CELLS))
    rows, frauds = int(histogram.sum()), int(histogram[1].sum())
    brier = float((counts[1] * (1 - probability) ** 2 + counts[0] * probability**2).sum() / max(1, rows))
    cell, _ = alert_cell(histogram, 0.01)
    return Evaluation(
        rows=rows, frauds=frauds, ap=average_precision(histogram), auc=roc_auc(histogram),
        recall_at_1pct_alerts=recall_at(histogram, 0.01),
        threshold_at_1pct_alerts=float(cell_probability(cell)) if rows else math.nan, brier=brier,
        calibration=_calibration(counts, probability), roc=_roc(counts), precision_recall=_precision_recall(counts),
    )  # fmt: skip


def _calibration(counts: NDArray[np.float64], probability: NDArray[np.float64]) -> tuple[tuple[float, float, int], ...]:
    both = counts.sum(axis=0)
    if not both.sum():
        return ()
    tenth = np.minimum((np.cumsum(both) - both / 2) / both.sum() * 10, 9.999).astype(int)
    points = []
    for group in range(10):
        chosen = tenth == group
        rows = both[chosen].sum()
        if rows:
            mean = float((both[chosen] * probability[chosen]).sum() / rows)
            points.append((mean, float(counts[1, chosen].sum() / rows), int(rows)))
    return tuple(points)


def _thin(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, _CURVE_POINTS)).astype(np.int64))


def _roc(counts: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    rest, frauds = counts[:, ::-1]
    if not rest.sum() or not frauds.sum():
        return ()
    used = np.flatnonzero(rest + frauds)
    fpr = np.concatenate([[0.0], np.cumsum(rest)[used] / rest.sum()])
    tpr = np.concatenate([[0.0], np.cumsum(frauds)[used] / frauds.sum()])
    return tuple((float(fpr[k]), float(tpr[k])) for k in _thin(len(fpr)))


def _precision_recall(counts: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    rest, frauds = counts[:, ::-1]
    if not frauds.sum():
        return ()
    used = np.flatnonzero(rest + frauds)
    caught, alerts = np.cumsum(frauds)[used], np.cumsum(rest + frauds)[used]
    threshold = cell_probability(np.arange(SCORE_CELLS))[::-1][used]
    return tuple(
        (float(caught[k] / frauds.sum()), float(caught[k] / alerts[k]), float(threshold[k])) for k in _thin(len(used))
    )
