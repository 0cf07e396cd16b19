"""Metrics from two summed histograms of scores against scikit-learn on the scores themselves."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from learning.evaluation import (
    CELLS_A_UNIT,
    REACH,
    SCORE_CELLS,
    alert_cell,
    average_precision,
    cell_probability,
    evaluate,
    recall_at,
    roc_auc,
    score_cells,
    score_histogram,
)


def drawn(n, rate, spread, seed):
    """Calibrated scores: the label is drawn from the probability that the margin says."""
    rng = np.random.default_rng(seed)
    margins = math.log(rate / (1 - rate)) + spread * rng.standard_t(4, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-margins))).astype(np.uint8)
    return margins, y


CASES = [
    pytest.param(*drawn(5000, 0.3, 1.0, 1), id="common"),
    pytest.param(*drawn(60_000, 0.003, 1.5, 2), id="rare"),
    pytest.param(*drawn(8000, 0.1, 6.0, 3), id="beyond the grid"),
    pytest.param(np.repeat([-2.0, -1.0, 0.5], 400), (np.arange(1200) % 7 == 0).astype(np.uint8), id="three scores"),
    pytest.param(np.zeros(500), (np.arange(500) % 5 == 0).astype(np.uint8), id="one score"),
    pytest.param(np.linspace(-4, 4, 900), (np.linspace(-4, 4, 900) > 2).astype(np.uint8), id="perfect"),
    pytest.param(np.linspace(4, -4, 900), (np.linspace(-4, 4, 900) > 2).astype(np.uint8), id="worst"),
]
cases = pytest.mark.parametrize(("margins", "y"), CASES)


@cases
def test_ap_and_auc_are_scikit_learns_on_the_same_cells(margins, y):
    histogram, cells = score_histogram(margins, y), score_cells(margins)
    assert average_precision(histogram) == pytest.approx(average_precision_score(y, cells), abs=1e-12)
    assert roc_auc(histogram) == pytest.approx(roc_auc_score(y, cells), abs=1e-12)


@cases
def test_cells_change_ap_and_auc_by_no_more_than_the_ties_they_make(margins, y):
    """A pair that a cell ties counts half instead of 0 or 1; AP is at least that of the worst order in a cell."""
    histogram = score_histogram(margins, y).astype(np.float64)
    tied_pairs = (histogram[0] * histogram[1]).sum() / (histogram[0].sum() * histogram[1].sum())
    assert abs(roc_auc(histogram) - roc_auc_score(y, margins)) <= tied_pairs / 2 + 1e-12
    within = np.random.default_rng(0).uniform(0, 1e-9, len(y))
    cells = score_cells(margins)
    best = average_precision_score(y, cells + 0.5 * y + within)
    worst = average_precision_score(y, cells - 0.5 * y + within)
    assert worst - 1e-9 <= average_precision_score(y, margins) <= best + 1e-9
    # A tied fraud counts with the precision at its cell's end, which is at least what it has as the cell's last.
    assert average_precision(histogram) >= worst - 1e-9


def test_on_a_model_of_usual_quality_the_cells_cost_less_than_a_thousandth():
    margins, y = drawn(60_000, 0.003, 1.5, 2)
    found = evaluate(score_histogram(margins, y))
    assert found.ap == pytest.approx(average_precision_score(y, margins), abs=1e-3)
    assert found.auc == pytest.approx(roc_auc_score(y, margins), abs=1e-3)
    assert found.brier == pytest.approx(brier_score_loss(y, 1 / (1 + np.exp(-margins))), rel=1e-3)


@cases
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.5, 1.0])
def test_recall_is_what_an_alert_budget_catches_when_ties_are_taken_at_random(margins, y, share):
    """By the rows themselves: every row above the last score, and of the rows with it as many as the budget has."""
    cells = score_cells(margins)
    budget = share * len(y)
    order = np.sort(cells)[::-1]
    last = order[min(len(y) - 1, math.ceil(budget) - 1)]
    above, with_it = cells > last, cells == last
    expected = (y[above].sum() + (budget - above.sum()) * y[with_it].mean()) / y.sum()
    assert recall_at(score_histogram(margins, y), share) == pytest.approx(expected, abs=1e-9)


def test_recall_at_one_percent_without_ties_is_that_of_the_top_rows():
    margins, y = drawn(60_000, 0.003, 1.5, 2)
    top = np.argsort(-margins, kind="stable")[:600]
    found = evaluate(score_histogram(margins, y))
    cell, _ = alert_cell(score_histogram(margins, y), 0.01)
    slack = (y[score_cells(margins) == cell]).sum() / y.sum()
    assert abs(found.recall_at_1pct_alerts - y[top].sum() / y.sum()) <= slack
    alerts = (1 / (1 + np.exp(-margins)) >= found.threshold_at_1pct_alerts).mean()
    assert alerts == pytest.approx(0.01, rel=0.02)


@cases
def test_curves_lie_on_scikit_learns_and_span_them(margins, y):
    cells = score_cells(margins)
    found = evaluate(score_histogram(margins, y))
    fpr, tpr, _ = roc_curve(y, cells, drop_intermediate=False)
    theirs = np.column_stack([fpr, tpr])
    for point in found.roc:
        assert np.abs(theirs - point).max(axis=1).min() < 1e-12
    assert found.roc[0] == (0.0, 0.0)
    assert found.roc[-1] == (1.0, 1.0)
    precision, recall, threshold = precision_recall_curve(y, cells)
    theirs = np.column_stack([recall[:-1], precision[:-1], cell_probability(threshold.astype(int))])
    for point in found.precision_recall:
        assert np.abs(theirs - point).max(axis=1).min() < 1e-12
    assert found.precision_recall[-1][0] == 1.0
    assert max(len(found.roc), len(found.precision_recall)) <= 200
    assert min(len(found.roc), len(found.precision_recall)) >= min(200, len(np.unique(cells)))


@cases
def test_brier_and_calibration_are_those_of_the_cells_probabilities(margins, y):
    probability = cell_probability(score_cells(margins))
    found = evaluate(score_histogram(margins, y))
    assert found.brier == pytest.approx(brier_score_loss(y, probability), abs=1e-12)
    mean, rate, rows = map(np.array, zip(*found.calibration, strict=True))
    assert rows.sum() == len(y) == found.rows
    assert (rate * rows).sum() == pytest.approx(y.sum())
    assert found.frauds == y.sum()
    assert (mean * rows).sum() == pytest.approx(probability.sum())
    assert (np.diff(mean) > 0).all()
    assert len(rows) <= 10


def test_calibrated_scores_look_calibrated_and_shifted_ones_do_not():
    margins, y = drawn(40_000, 0.2, 1.0, 5)
    honest = evaluate(score_histogram(margins, y)).calibration
    assert all(rows == pytest.approx(4000, rel=0.06) for _, _, rows in honest)
    for mean, rate, rows in honest:
        assert abs(mean - rate) < 4 * math.sqrt(mean * (1 - mean) / rows)
    shifted = evaluate(score_histogram(margins + 1.0, y)).calibration
    assert all(mean - rate > 4 * math.sqrt(mean * (1 - mean) / rows) for mean, rate, rows in shifted)


def test_banks_histograms_add_up_to_the_pooled_ones():
    margins, y = drawn(5000, 0.1, 1.5, 7)
    bank = np.random.default_rng(0).integers(0, 3, len(y))
    parts = [score_histogram(margins[bank == number], y[bank == number]) for number in range(3)]
    np.testing.assert_array_equal(np.sum(parts, axis=0), score_histogram(margins, y))
    assert evaluate(np.sum(parts, axis=0)) == evaluate(score_histogram(margins, y))


def test_cells_are_in_the_scores_order_and_the_middle_of_each_says_its_probability():
    margins = np.sort(np.random.default_rng(1).uniform(-REACH, REACH, 10_000))
    cells = score_cells(margins)
    assert (np.diff(cells) >= 0).all()
    assert (cells.min(), cells.max()) >= (1, SCORE_CELLS - 100)
    odds = np.log(cell_probability(cells) / (1 - cell_probability(cells)))
    assert np.abs(odds - margins).max() <= 0.5 / CELLS_A_UNIT + 1e-8
    ends = score_cells(np.array([-np.inf, -1e9, -REACH - 1e-9, -REACH, REACH - 1e-9, REACH, 1e9, np.inf]))
    assert ends.tolist() == [0, 0, 0, 1, SCORE_CELLS - 2, SCORE_CELLS - 1, SCORE_CELLS - 1, SCORE_CELLS - 1]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_curve_and_no_made_up_figure(label):
    y = np.full(100, label, dtype=np.uint8)
    found = evaluate(score_histogram(np.linspace(-2, 2, 100), y))
    assert (found.rows, found.frauds) == (100, 100 * label)
    assert math.isnan(found.auc)
    assert found.roc == ()
    if label:
        assert found.ap == 1.0
        assert found.recall_at_1pct_alerts == pytest.approx(0.01)
    else:
        assert math.isnan(found.ap)
        assert math.isnan(found.recall_at_1pct_alerts)
        assert found.precision_recall == ()


def test_no_rows_at_all():
    found = evaluate(np.zeros((2, SCORE_CELLS), dtype=np.int64))
    assert (found.rows, found.frauds, found.calibration, found.roc, found.precision_recall) == (0, 0, (), (), ())
    assert math.isnan(found.ap)
    assert math.isnan(found.threshold_at_1pct_alerts)


def test_an_evaluation_is_json():
    margins, y = drawn(2000, 0.1, 1.0, 9)
    again = json.loads(json.dumps(evaluate(score_histogram(margins, y)).to_dict(), allow_nan=False))
    assert set(again) >= {"ap", "auc", "recall_at_1pct_alerts", "brier", "calibration", "roc", "precision_recall"}
    assert again["rows"] == 2000
