"""A card's curves as pictures (PNG), where matplotlib is installed; the service's image leaves it out."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

from consortium.models.card_figures import Part, by_step, parts

HOW_TO_GET_PICTURES = "without pictures: matplotlib is not installed here; `pip install matplotlib` and write it again"
_COLOUR, _GREY = "#0b6e4f", "#b4b9c2"


def can_draw() -> bool:
    """Whether there is what draws."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(card: Mapping[str, Any]) -> dict[str, bytes]:
    """The pictures by title; none without matplotlib."""
    if not can_draw():
        return {}
    # A figure without pyplot takes no display, and leaves the process' settings alone.
    from matplotlib.figure import Figure  # noqa: PLC0415  # not in the service's image

    found = {
        f"{title}, {part.name} rows": picture(Figure(figsize=(4.6, 3.6), dpi=110), part)
        for part in parts(card)
        for title, picture, points in (
            ("precision and recall", _precision_recall, part.precision_recall),
            ("ROC", _roc, part.roc),
            ("calibration", _calibration, part.calibration),
        )
        if points
    }
    for title, values in by_step(card):
        found[title] = _steps(Figure(figsize=(4.6, 3.6), dpi=110), title, values)
    return found


def _finish(figure: Any, panel: Any, x: str, y: str) -> bytes:
    panel.set(xlabel=x, ylabel=y)
    panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _precision_recall(figure: Any, part: Part) -> bytes:
    panel = figure.subplots()
    panel.step(*zip(*((p[0], p[1]) for p in part.precision_recall), strict=True), where="pre", color=_COLOUR)
    panel.axhline(part.prevalence, color=_GREY, linestyle=":")
    panel.annotate("prevalence", (1.0, part.prevalence), ha="right", va="bottom", color="#5b6775", fontsize=8)
    panel.set(xlim=(0, 1), ylim=(0, 1.02))
    return _finish(figure, panel, "recall", "precision")


def _roc(figure: Any, part: Part) -> bytes:
    panel = figure.subplots()
    panel.plot((0, 1), (0, 1), color=_GREY, linestyle=":")
    panel.plot(*zip(*part.roc, strict=True), color=_COLOUR)
    panel.set(xlim=(0, 1), ylim=(0, 1.02))
    return _finish(figure, panel, "false positive rate", "true positive rate")


def _calibration(figure: Any, part: Part) -> bytes:
    """On logarithmic scales: most tenths of the rows lie near zero."""
    panel = figure.subplots()
    seen = [(said, observed) for said, observed, _ in part.calibration if said > 0 and observed > 0]
    if seen:
        ends = min(map(min, seen)), max(map(max, seen))
        panel.plot(ends, ends, color=_GREY, linestyle=":")
        panel.plot(*zip(*seen, strict=True), "o-", color=_COLOUR, markersize=4)
        panel.set(xscale="log", yscale="log")
    return _finish(figure, panel, "probability, mean of a tenth of the rows", "part that was fraud")


def _steps(figure: Any, title: str, values: Sequence[float]) -> bytes:
    panel = figure.subplots()
    panel.plot(range(1, len(values) + 1), values, color=_COLOUR)
    what, _, unit = title.partition(" by ")
    return _finish(figure, panel, unit, what)
