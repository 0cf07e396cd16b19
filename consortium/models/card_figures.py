"""What a card says in figures, for people: from the card as the service sends it, for the text and for the page.

A precision-recall curve gives the rest: of F frauds, a threshold with recall R and precision P lets F·R/P rows through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Parts of the rows that a bank may have the people to look at.
BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
#: How sure an alert is to be.
PRECISIONS = (0.9, 0.75, 0.5, 0.25, 0.1)
_PARTS = ("test", "validation", "train")
#: Shown in figures of their own, or already among the volumes. The threshold beside the recall is by_budget's: the one
#: of the metrics lets ties in, so that the two may differ.
_ELSEWHERE = ("rows", "frauds", "ap", "precision_recall", "roc", "calibration", "threshold_at_1pct_alerts")


@dataclass(frozen=True)
class Point:
    """A threshold, and what it does to the rows.

    Attributes:
        asked: the share of rows, or the precision, that the point was chosen for.
        threshold: probability from which a row is an alert.
        alerts: how many rows are.
    """

    asked: float
    threshold: float
    alerts: int
    precision: float
    recall: float


@dataclass(frozen=True)
class Part:
    """How good the model is on a part of the rows of all banks.

    Attributes:
        metrics: by name, without those that have fields here.
        by_budget: the most frauds that may be caught with so many alerts.
        by_precision: the most frauds that may be caught with alerts so sure.
    """

    name: str
    rows: int
    frauds: int
    ap: float | None
    metrics: dict[str, float]
    precision_recall: Sequence[Sequence[float]]
    roc: Sequence[Sequence[float]]
    calibration: Sequence[Sequence[float]]
    by_budget: list[Point]
    by_precision: list[Point]

    @property
    def prevalence(self) -> float:
        """The part of the rows that is fraud: the AP of a model that knows nothing."""
        return self.frauds / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Volume:
    """How many rows of all banks are in a part of the split, or in an entity's table."""

    part: str
    rows: int
    frauds: int

    @property
    def texts(self) -> tuple[str, str, str]:
        """Rows, frauds, prevalence; a part without rows has neither frauds nor a prevalence."""
        if self.rows <= 0:  # a table's noise may outweigh its counts
            return "none", "", ""
        return f"{self.rows:,}", f"{self.frauds:,}", f"{self.frauds / self.rows:.4f}"


def volumes(card: Mapping[str, Any]) -> list[Volume]:
    """What there was over all banks, in the order of a split or of time; of one bank nobody knows it."""
    told = card["volumes"]
    return [
        Volume(part, int(told[f"{part}_rows"]), int(told[f"{part}_frauds"]))
        for part in ("train", "validation", "test", "reference", "current")
        if f"{part}_rows" in told
    ] + [
        Volume(f"by {entity}", counts["transactions"], counts["frauds"])
        for entity, counts in told.get("entities", {}).items()
    ]


def parts(card: Mapping[str, Any]) -> list[Part]:
    """The parts of the rows that were scored; the one that chose nothing about the model comes first."""
    return [_part(name, card["evaluation"]) for name in _PARTS if card["evaluation"].get(f"{name}_rows")]


def doubts(card: Mapping[str, Any]) -> str:
    """Why somebody might not have meant to put this model in force; empty if nothing speaks against it."""
    if card["plan"]["learning"]["kind"] in {"entity_tables", "drift"}:
        return "no node scores with an entity table or a report of drift; plans name a table by its training"
    judged = [part.name for part in parts(card)]
    if "test" in judged:
        return ""
    what = f"only on the {judged[0]} rows, which have had a say in it" if judged else "on no rows at all"
    return f"this model was judged {what}; give a plan's split test rows, and see `consortium model card`"


def _part(name: str, evaluation: Mapping[str, Any]) -> Part:
    own = {key.removeprefix(f"{name}_"): value for key, value in evaluation.items() if key.startswith(f"{name}_")}
    frauds, curve = own["frauds"], own.get("precision_recall") or ()
    metrics = {
        key: float(value) for key, value in own.items() if key not in _ELSEWHERE and isinstance(value, int | float)
    }
    return Part(
        name=name, rows=round(own["rows"]), frauds=round(frauds), ap=own.get("ap"), metrics=metrics,
        precision_recall=curve, roc=own.get("roc") or (), calibration=own.get("calibration") or (),
        by_budget=budget_points(curve, own["rows"], frauds), by_precision=precision_points(curve, frauds),
    )  # fmt: skip


def budget_points(curve: Sequence[Sequence[float]], rows: float, frauds: float) -> list[Point]:
    """For each alert budget the lowest threshold within it.

    Args:
        curve: (recall, precision, threshold), the highest threshold first.
        rows: scored.
        frauds: among them.
    """
    points = [_point(0.0, found, frauds) for found in curve if found[0] > 0]
    chosen = [
        (share, max((p for p in points if p.alerts <= share * rows), key=lambda p: p.alerts, default=None))
        for share in BUDGETS
    ]
    return [Point(share, p.threshold, p.alerts, p.precision, p.recall) for share, p in chosen if p is not None]


def precision_points(curve: Sequence[Sequence[float]], frauds: float) -> list[Point]:
    """For each precision the point of the highest recall that still has it."""
    chosen = [
        (wanted, max((p for p in curve if p[1] >= wanted and p[0] > 0), key=lambda p: (p[0], p[1]), default=None))
        for wanted in PRECISIONS
    ]
    return [_point(wanted, found, frauds) for wanted, found in chosen if found is not None]


def _point(asked: float, found: Sequence[float], frauds: float) -> Point:
    recall, precision, threshold = found
    return Point(asked, threshold, round(recall * frauds / precision), precision, recall)


def other_metrics(card: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of the evaluation that belong to no part of the rows: rounds of fitting, noise."""
    return {
        name: float(value)
        for name, value in card["evaluation"].items()
        if isinstance(value, int | float) and not any(name.startswith(f"{part}_") for part in _PARTS)
    }


def label(metric: str) -> str:
    """A metric's name for people."""
    said = re.sub(r"(\d)pct\b", r"\1 %", metric.replace("_", " "))
    # `by_budget` has whole alerts, and so may say a little less.
    return f"{said}, of tied rows a part" if metric == "recall_at_1pct_alerts" else said


def by_step(card: Mapping[str, Any]) -> list[tuple[str, Sequence[float]]]:
    """(what, values) of what was measured while it trained."""
    names = {"validation_ap_by_tree": "validation AP by tree", "loss_by_round": "loss by round"}
    return [(title, card["evaluation"][name]) for name, title in names.items() if card["evaluation"].get(name)]
