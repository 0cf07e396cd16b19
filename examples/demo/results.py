"""The demo's figures: every model on every bank's test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from examples.demo import baselines
from examples.demo.baselines import Prepared, Scores
from examples.demo.case import Case
from learning.schema import Part

#: How a model came about → bank → scores of its test rows.
ByWay = dict[str, dict[str, Scores]]
WAYS = ("alone", "federated", "pooled")


@dataclass
class Results:
    """Everything that the report shows.

    Attributes:
        case: what was trained on.
        labels: bank → labels of its test rows.
        trees: alone (every bank its own model), federated, pooled → bank → scores.
        logistic: the same.
        others: bank → scores of all banks' test rows by the model that this bank trained alone.
        brought: (source of the terminals' risk, one bank or all) → AP over all banks' test rows.
        trainings: by plan name what the service showed of the training at its end, and its model card.
        seconds: by plan name, from start to release.
        notes: sentences that the report ends with.
    """

    case: Case
    labels: dict[str, NDArray[np.uint8]]
    trees: ByWay = field(default_factory=dict)
    logistic: ByWay = field(default_factory=dict)
    others: dict[str, dict[str, Scores]] = field(default_factory=dict)
    brought: dict[tuple[str, str], float] = field(default_factory=dict)
    trainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def all_labels(self) -> NDArray[np.uint8]:
        """Labels of all banks' test rows."""
        return np.concatenate(list(self.labels.values()))

    def overall(self, scores: dict[str, Scores]) -> tuple[float, float]:
        """AP and recall at 1 % alerts over all banks' test rows."""
        together, y = np.concatenate([scores[bank] for bank in self.labels]), self.all_labels()
        return baselines.average_precision(y, together), baselines.recall_at_alerts(y, together)

    def by_bank(self, found: ByWay) -> list[dict[str, Any]]:
        """A row a bank, and one for all: AP and recall at 1 % alerts by way."""
        rows = []
        for bank, y in self.labels.items():
            row: dict[str, Any] = {"bank": bank, "rows": len(self.case.tables[bank]), "frauds": int(y.sum())}
            for way in WAYS:
                row[way] = (
                    baselines.average_precision(y, found[way][bank]), baselines.recall_at_alerts(y, found[way][bank])
                )  # fmt: skip
            rows.append(row)
        everyone = {
            "bank": "all",
            "rows": sum(map(len, self.case.tables.values())),
            "frauds": int(self.all_labels().sum()),
        }
        return [*rows, everyone | {way: self.overall(found[way]) for way in WAYS}]


def measure_baselines(case: Case) -> Results:
    """Trains each bank alone and all rows pooled, with and without the terminals' risk."""
    own = baselines.prepare_all(case, "own")
    summed = own if case.entity is None else baselines.prepare_all(case, "summed")
    results = Results(case, {bank: data.y[data.part == Part.TEST] for bank, data in summed.data.items()})
    settings = case.gbdt(case.schema([]))
    results.trees = {
        "alone": _each_alone(own, settings, results.others),
        "pooled": baselines.trees_pooled(summed, settings),
    }
    results.logistic = {
        "alone": {bank: baselines.logistic_alone(own, bank)[bank] for bank in own.data},
        "pooled": baselines.logistic_pooled(summed),
    }
    if case.entity is not None:
        _what_brought_what(case, results, own, summed, settings)
    return results


def _each_alone(
    prepared: Prepared, settings: dict[str, Any], others: dict[str, dict[str, Scores]]
) -> dict[str, Scores]:
    """Every bank's scores of its own rows by the model it trains alone; `others` takes those of all rows."""
    for bank in prepared.data:
        others[bank] = baselines.trees_alone(prepared, bank, settings)
    return {bank: others[bank][bank] for bank in prepared.data}


def _what_brought_what(case: Case, results: Results, own: Prepared, summed: Prepared, settings: dict[str, Any]) -> None:
    prepared = {"none": baselines.prepare_all(case, "none"), "own": own, "summed": summed}
    for risk, one in prepared.items():
        alone = results.trees["alone"] if risk == "own" else _each_alone(one, settings, {})
        together = results.trees["pooled"] if risk == "summed" else baselines.trees_pooled(one, settings)
        results.brought[risk, "alone"] = _mean_ap(results, alone)
        results.brought[risk, "together"] = _mean_ap(results, together)


def _mean_ap(results: Results, scores: dict[str, Scores]) -> float:
    """Mean over banks of the AP on their own test rows: scores of different models are never ranked together."""
    found = [baselines.average_precision(y, scores[bank]) for bank, y in results.labels.items()]
    return float(np.nanmean([value for value in found if not math.isnan(value)]))


def test_scores(
    case: Case, prepared_parts: dict[str, NDArray[np.uint8]], scored: dict[str, pd.Series]
) -> dict[str, Scores]:
    """Of a bank's scores of its whole table those of the test rows."""
    return {bank: scored[bank].to_numpy()[prepared_parts[bank] == Part.TEST] for bank in case.tables}
