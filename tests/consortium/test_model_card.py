"""A model's card for people: figures against a count of the scored rows; a page that is whole, safe, self-contained."""

from __future__ import annotations

import base64
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from consortium.cli.card_text import show_card
from consortium.models.card import NOT_ENCRYPTED, of_drift
from consortium.models.card_figures import BUDGETS, PRECISIONS, doubts, parts
from consortium.models.card_page import render
from consortium.models.card_pictures import HOW_TO_GET_PICTURES, _calibration, draw
from learning.drift import Drift, DriftSettings
from learning.driver import run
from learning.evaluation import evaluate, score_cells, score_histogram
from learning.schema import prepare
from protocol.plan import Plan

ROWS = 20_000
DAYS = pd.date_range("2026-01-01", periods=4000, freq="h")
DIGESTS = {
    name: digit * 64 for name, digit in (("digest", "1"), ("sha256", "2"), ("plan_digest", "3"), ("history", "4"))
}
INPUTS = {
    "features": [{"kind": "categorical", "name": "<channel>", "levels": ["shop", "web"]}], "label": "is_fraud",
}  # fmt: skip


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(5)
    y = (rng.random(ROWS) < 0.02).astype(np.uint8)
    return rng.normal(size=ROWS) * 1.5 - 4 + 3.5 * y, y


def card_of(evaluation, **parts):
    """As the service sends it."""
    learning = {"kind": "gbdt", "trees": 8, "inputs": INPUTS}
    plan = Plan(name="cards", learning=learning, description="<script>alert(1)</script>")
    return {
        "training": "5" * 8 + "-5555" * 3 + "-" + "5" * 12, "name": "cards", **DIGESTS, "released_at": 1.8e9,
        "in_force": True, "warning": "", "plan": plan.model_dump(mode="json"),
        "banks": [
            {"node": "n1", "name": "bank-<b>", "confirmed": True}, {"node": "n2", "name": "bank-2", "confirmed": False},
        ],
        "rounds": 9, "fewest_contributors": 4, "bytes_received": 12345, "started_at": 1.8e9, "ended_at": 1.8e9 + 9,
        "volumes": {"train_rows": 61, "train_frauds": 7, "test_rows": ROWS, "test_frauds": 400},
        "drift": [], "evaluation": evaluation, "privacy": {"epsilon": 0.125, "delta": 1e-6},
        "settings": {"kind": "gbdt", "trees": 8, "max_depth": 6},
        "software": {"python": "3.99", "fraud-consortium": "7.7"}, **parts,
    }  # fmt: skip


@pytest.fixture(scope="module")
def card(scored):
    found = evaluate(score_histogram(*scored)).to_dict()
    return card_of(
        {f"test_{name}": value for name, value in found.items()} | {"validation_ap_by_tree": [0.2, 0.3, 0.31]}
    )


def test_every_point_is_what_a_count_of_the_rows_gives(card, scored):
    margins, y = scored
    (part,) = parts(card)
    cells = score_cells(margins)
    assert [point.asked for point in part.by_budget] == list(BUDGETS)
    assert [point.asked for point in part.by_precision] == [
        p for p in PRECISIONS if p <= max(c[1] for c in part.precision_recall)
    ]
    for point in (*part.by_budget, *part.by_precision):
        odds = np.log(point.threshold / (1 - point.threshold))
        alert = cells >= score_cells(np.array([odds]))[0]
        assert point.alerts == alert.sum()
        assert point.recall == pytest.approx(y[alert].sum() / y.sum())
        assert point.precision == pytest.approx(y[alert].mean())
    for point in part.by_budget:
        assert point.alerts <= point.asked * ROWS
    assert part.prevalence == y.mean()


def test_the_page_has_everything_and_fetches_nothing(card):
    page = render(card)
    for text in (
        "in force as cards", "0.125", "1e-06", *DIGESTS.values(), "7.7", "3.99", "bank-2", "not confirmed", "12,345",
        f"{card['evaluation']['test_ap']:.4f}", "Alert budgets", "Calibration", "nobody knows it", "ckks",
        "gradient-boosted trees", "trees 8", "max_depth 6", "is_fraud", "&lt;channel&gt;", "shop, web",
        "recall at 1 % alerts",
    ):  # fmt: skip
        assert text in page, text
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "<script" not in page
    assert "bank-&lt;b&gt;" in page
    pictures = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    assert len(pictures) == 4  # precision and recall, ROC, calibration, AP by tree
    assert all(picture.startswith(b"\x89PNG\r\n") for picture in pictures)


def test_without_matplotlib_the_page_says_what_to_install_and_keeps_its_tables(card, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    assert draw(card) == {}
    page = render(card)
    assert HOW_TO_GET_PICTURES in page
    assert "data:image" not in page
    assert "Alert budgets" in page


def test_a_model_that_was_trained_in_the_open_says_so_first():
    page = render(card_of({}, warning=NOT_ENCRYPTED, in_force=False, privacy={}))
    assert page.index(NOT_ENCRYPTED) < page.index("<h2>")
    assert "not in force" in page
    assert "Privacy noise: none" in page
    noised = card_of({}, privacy={}, settings={"kind": "entity_tables", "noise_sigma": 2.0, "noise_banks": 2})
    assert "exact" not in render(noised)


@pytest.mark.parametrize(
    "evaluation",
    [
        {},  # a risk table, a drift report
        {"test_rows": 10, "test_frauds": 0, "test_ap": None, "test_auc": None, "test_precision_recall": []},
        {"test_rows": 9.7, "test_frauds": 1.2, "test_ap": 0.5, "test_precision_recall": [[0, 0, 0.9], [1, 0.5, 0.1]]},
        {"loss_by_round": [0.4, 0.3], "fitting_rounds": 2},
    ],
)  # fmt: skip
def test_whatever_an_evaluation_lacks_is_left_out(evaluation, capsys):
    render(card_of(evaluation, history=None, volumes={}, started_at=None))
    show_card(card_of(evaluation, volumes={}, started_at=None))
    assert "nan" not in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({"test_rows": 10, "test_frauds": 1, "validation_rows": 10, "validation_frauds": 1}, ""),
        ({"validation_rows": 10, "validation_frauds": 1}, "judged only on the validation rows"),
        ({}, "judged on no rows at all"),
    ],
)
def test_what_speaks_against_a_promotion_is_said(evaluation, said):
    assert doubts(card_of(evaluation)).startswith(f"this model was {said}" if said else "")
    assert bool(doubts(card_of(evaluation))) is bool(said)


def test_volumes_of_a_part_without_rows_and_of_a_table_are_said(capsys):
    empty = {"train_rows": 61, "train_frauds": 7, "validation_rows": 0, "validation_frauds": 0}
    shown = card_of({}, volumes=empty)
    assert "<td>validation</td><td>none</td><td></td><td></td>" in render(shown)
    show_card(shown)
    assert "validation\tnone\t\t\n" in capsys.readouterr().out
    table = card_of({}, volumes={"entities": {"terminal": {"transactions": 12000, "frauds": 60}}})
    assert "<td>by terminal</td><td>12,000</td><td>60</td><td>0.0050</td>" in render(table)
    show_card(table)
    assert "by terminal\t12,000\t60\t0.0050\n" in capsys.readouterr().out


def test_a_report_of_drift_says_what_has_moved(capsys):
    rows = pd.DataFrame({"amount": np.arange(4000.0) % 100, "hour": np.arange(4000) % 24, "time": DAYS, "fraud": 0})
    rows.loc[2000:, "amount"] *= 10
    rows.loc[::50, "fraud"] = 1
    inputs = {
        "features": [{"kind": "numeric", "name": "hour"}, {"kind": "numeric", "name": "amount"}], "label": "fraud",
        "time": "time", "split": {"test_from": str(DAYS[2000])},
    }  # fmt: skip
    settings = DriftSettings.model_validate({"inputs": inputs})
    report = run(Drift(settings), [prepare(rows, settings.inputs)])
    found = of_drift(json.loads(report.to_bytes()))
    assert [(one.feature, one.verdict) for one in found["drift"]] == [("amount", "shifted"), ("hour", "stable")]
    card = card_of({}, volumes=found["volumes"], drift=[one.model_dump() for one in found["drift"]])
    show_card(card)
    shown = capsys.readouterr().out
    assert "reference\t2,000\t40\t0.0200\n" in shown
    assert f"amount\t{report.worst().index:.4f}\tshifted\n" in shown
    page = render(card)
    assert "<td>current</td><td>2,000</td><td>40</td>" in page
    assert f"<td>amount</td><td>{report.worst().index:.4f}</td><td>shifted</td>" in page


def test_the_calibration_ends_where_its_points_do(card):
    figure = Figure()
    _calibration(figure, parts(card)[0])
    highest = max(max(said, observed) for said, observed, _ in card["evaluation"]["test_calibration"])
    assert highest < figure.axes[0].get_xlim()[1] < 2 * highest
    assert highest < figure.axes[0].get_ylim()[1] < 2 * highest


def test_the_text_says_what_was_learned_from_which_features(card, capsys):
    show_card(card)
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "kind\tgbdt: gradient-boosted trees", "settings\ttrees 8", "label\tis_fraud",
        "recall at 1 % alerts, of tied rows a part\t",
        "<channel>\tcategorical\tshop, web", "privacy noise\tnone: the sums that are opened are exact",
    ):  # fmt: skip
        assert any(one.startswith(line) for one in lines), line


def test_the_text_has_the_rows_once_and_the_curve_as_points(card, capsys):
    show_card(card)
    text = capsys.readouterr().out
    assert text.count(f"{ROWS:,}") == 1
    assert "prevalence" in text
    assert "rows looked at" in text
    assert "precision of at least" in text
    (part,) = parts(card)
    assert f"{part.by_budget[3].recall:.3f}" in text
