"""The demo's pictures and its HTML report, one file that needs nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
from sklearn.metrics import precision_recall_curve

from examples.demo.results import WAYS, Results

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the backend is chosen: no display is needed

_COLOURS = {"alone": "#b4b9c2", "federated": "#0b6e4f", "pooled": "#d08c2b"}
_NAMES = {
    "alone": "each bank alone",
    "federated": "federated, encrypted",
    "pooled": "pooled rows (no consortium has them)",
}
_FEWEST_ALERTS = 20
_RISKS = {"none": "no terminal risk", "own": "risk from own rows", "summed": "risk from summed tables"}


def draw(results: Results, out: Path) -> dict[str, Path]:
    """Writes the PNG pictures; returns them by name."""
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130})
    found = {"banks": _banks(results, out / "banks.png"), "curves": _curves(results, out / "curves.png")}
    if results.brought:
        found["brought"] = _brought(results, out / "tables_and_model.png")
    by_tree = results.trainings["gbdt"]["card"].get("evaluation", {}).get("validation_ap_by_tree")
    if by_tree:
        found["progress"] = _by_tree(by_tree, out / "progress.png")
    return found


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return path


def _banks(results: Results, path: Path) -> Path:
    rows = results.by_bank(results.trees)
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for panel, title, index in zip(axes, ("average precision", "recall at 1 % alerts"), (0, 1), strict=True):
        x = np.arange(len(rows))
        highest = max(row[way][index] for row in rows for way in WAYS)
        for k, way in enumerate(WAYS):
            values = [row[way][index] for row in rows]
            panel.bar(x + (k - 1) * 0.27, values, 0.25, label=_NAMES[way], color=_COLOURS[way])
        panel.set_xticks(x, [row["bank"] for row in rows], rotation=20)
        panel.set_title(f"boosted trees: {title}", loc="left")
        panel.set_ylim(0, min(1.0, 1.15 * highest))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=3, frameon=False)
    figure.subplots_adjust(top=0.8)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    figure.savefig(path)
    plt.close(figure)
    return path


def _curves(results: Results, path: Path) -> Path:
    figure, panel = plt.subplots(figsize=(6, 4.6))
    y = results.all_labels()

    def line(scores: dict[str, Any], **style: Any) -> None:
        precision, recall, _ = precision_recall_curve(y, np.concatenate([scores[bank] for bank in results.labels]))
        # The precision of a handful of alerts is chance.
        told = (recall * y.sum() >= _FEWEST_ALERTS * precision) & (recall > 0)
        panel.plot(recall[told], precision[told], **style)

    for k, scores in enumerate(results.others.values()):
        name = "one bank's model on all banks' rows" if k == 0 else None
        line(scores, color=_COLOURS["alone"], linewidth=1.2, label=name)
    line(results.trees["federated"], color=_COLOURS["federated"], linewidth=2.4, label=_NAMES["federated"])
    line(results.trees["pooled"], color=_COLOURS["pooled"], linewidth=1.2, linestyle="--", label=_NAMES["pooled"])
    line(
        results.logistic["federated"],
        color=_COLOURS["federated"],
        linewidth=1.0,
        linestyle=":",
        label="federated logistic",
    )
    panel.set_xlabel("recall")
    panel.set_ylabel("precision")
    panel.set_title("boosted trees, test rows of all banks", loc="left")
    panel.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def _brought(results: Results, path: Path) -> Path:
    figure, panel = plt.subplots(figsize=(6, 3.4))
    x = np.arange(len(_RISKS))
    for k, (who, name, colour) in enumerate(
        (
            ("alone", "each bank's own model", _COLOURS["alone"]),
            ("together", "one model of the pooled rows", _COLOURS["pooled"]),
        )
    ):
        values = [results.brought[risk, who] for risk in _RISKS]
        bars = panel.bar(x + (k - 0.5) * 0.38, values, 0.36, label=name, color=colour)
        panel.bar_label(bars, fmt="%.2f", padding=2, fontsize=9)
    panel.margins(y=0.12)  # room for the labels
    panel.set_xticks(x, list(_RISKS.values()))
    panel.set_ylabel("average precision, mean of banks")
    panel.set_title("what the tables brought, what the model brought", loc="left")
    panel.legend(frameon=False)
    return _save(figure, path)


def _by_tree(by_tree: list[float], path: Path) -> Path:
    figure, panel = plt.subplots(figsize=(6, 3.0))
    panel.plot(np.arange(1, len(by_tree) + 1), by_tree, color=_COLOURS["federated"])
    panel.set_xlabel("trees")
    panel.set_ylabel("validation AP")
    return _save(figure, path)


def write_html(results: Results, pictures: dict[str, Path], out: Path) -> Path:
    """Writes `report.html`; the pictures are inside."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    embedded = {name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()}
    page = environment.get_template("report.html.j2").render(
        case=results.case, models={"Boosted trees": results.by_bank(results.trees),
        "Logistic regression": results.by_bank(results.logistic)}, ways=_NAMES, pictures=embedded,
        trainings=results.trainings, seconds=results.seconds, notes=results.notes,
    )  # fmt: skip
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
