"""Precision-recall curves: each bank alone, the banks together, all rows pooled. python -m examples.plot_curves."""

import os
from pathlib import Path

import click
import matplotlib as mpl
import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from examples.banks import LABEL_DELAY_DAYS, schema, tables
from learning.driver import run
from learning.entities import EntityTableSettings, prepare_rows
from learning.entity_tables import EntityTables
from learning.gbdt import GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.risk_table import RiskTable
from learning.schema import Dataset, FeatureSchema, Part, prepare

Tables = dict[str, pd.DataFrame]
Curves = dict[str, tuple[NDArray[np.uint8], NDArray[np.float64]]]


def risk_table(parts: Tables, settings: EntityTableSettings, key: bytes) -> RiskTable:
    """The terminals' counts over these banks' rows."""
    return run(EntityTables(settings), [prepare_rows(part, settings, key) for part in parts.values()])


def with_risk(parts: Tables, *, together: bool) -> tuple[dict[str, Dataset], FeatureSchema]:
    """The banks' datasets with the terminals' risk over all banks' rows, or over each bank's own."""
    rows, key = pd.concat(parts.values()), os.urandom(32)
    settings = EntityTableSettings(
        entities=("terminal",), time="time", label="confirmed", label_delay_days=LABEL_DELAY_DAYS, width=4096,
        first_day=rows["time"].min().date(), last_day=rows["time"].max().date(),
    )  # fmt: skip
    common = risk_table(parts, settings, key) if together else None
    joined, names = {}, []
    for bank, part in parts.items():
        table = common or risk_table({bank: part}, settings, key)
        names = table.feature_names()
        joined[bank] = part.join(table.features(part, key))
    inputs = schema(names)
    return {bank: prepare(part, inputs) for bank, part in joined.items()}, inputs


def settings_of(inputs: FeatureSchema) -> GbdtSettings:
    """The same trees everywhere."""
    return GbdtSettings(inputs=inputs, trees=40, max_depth=4, learning_rate=0.2, min_child_weight=5.0)


def pooled_margins(banks: dict[str, Dataset], settings: GbdtSettings) -> NDArray[np.float64]:
    """Stock XGBoost on the pooled training rows: the margins of the test rows."""
    X, y, part = (
        np.concatenate([getattr(data, name) for data in banks.values()]) for name in ("X", "y", "part")
    )  # what no consortium may do: one place has all banks' rows
    parameters = settings.model_dump(include={"max_depth", "learning_rate", "min_child_weight", "max_bin"})
    data = xgboost.DMatrix(X[part == Part.TRAIN], y[part == Part.TRAIN])
    booster = xgboost.train({**parameters, "objective": "binary:logistic", "nthread": 2}, data, settings.trees)
    return np.asarray(booster.predict(xgboost.DMatrix(X[part == Part.TEST]), output_margin=True), dtype=np.float64)


def curves(parts: Tables) -> Curves:
    """Labels and margins of all banks' test rows by way of training."""
    own, own_inputs = with_risk(parts, together=False)
    banks, inputs = with_risk(parts, together=True)
    y = np.concatenate([data.y[data.part == Part.TEST] for data in banks.values()])
    alone = []
    for data in own.values():
        model = run(GradientBoosting(settings_of(own_inputs)), [data])
        alone.append(model.margins(data.X[data.part == Part.TEST]))
    federated = run(GradientBoosting(settings_of(inputs)), list(banks.values()))
    together = [federated.margins(data.X[data.part == Part.TEST]) for data in banks.values()]
    return {
        "each bank alone": (y, np.concatenate(alone)),
        "federated": (y, np.concatenate(together)),
        "pooled rows, XGBoost": (y, pooled_margins(banks, settings_of(inputs))),
    }


def plot(found: Curves, path: Path) -> None:
    """Draw the curves into a PNG file."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend was chosen

    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for (name, (y, margins)), style in zip(found.items(), (":", "-", "--"), strict=True):
        precision, recall, _ = precision_recall_curve(y, margins)
        axes.plot(recall, precision, style, label=f"{name} (AP {average_precision_score(y, margins):.3f})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1), title="Frauds of the last 18 days")
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


@click.command(help="Draw precision-recall curves of local, federated and pooled training into a PNG file.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="curves.png", show_default=True)
def main(out: Path) -> None:
    """Train, print the average precisions, and draw."""
    found = curves(tables())
    for name, (y, margins) in found.items():
        print(f"{name:22} average precision {average_precision_score(y, margins):.3f}")
    plot(found, out)
    print(out)


if __name__ == "__main__":
    main(prog_name="python -m examples.plot_curves")
