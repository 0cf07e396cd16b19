"""A model's card on the terminal."""

from __future__ import annotations

from typing import Any

from consortium.cli.show import moment, say, show_table, volume
from consortium.models import card_figures as figures
from consortium.plans import plan_facts


def show_card(card: dict[str, Any]) -> None:
    """Prints the facts, then how good the model is."""
    if card["warning"]:
        say(card["warning"], style="bold red")
    show_table(f"Model {card['name']}", ["", ""], _facts(card))
    show_features(card["plan"])
    if told := figures.volumes(card):
        rows = [[one.part, *one.texts] for one in told]
        show_table("Data, over all banks", ["part", "rows", "frauds", "prevalence"], rows)
    if moved := card["drift"]:
        rows = [[one["feature"], f"{one['index']:.4f}", one["verdict"]] for one in moved]
        show_table("Drift, what has moved most first", ["feature", "stability index", "reading"], rows)
    for part in figures.parts(card):
        _show_part(part)


def show_features(plan: dict[str, Any]) -> None:
    """Prints a plan's features with their kinds."""
    if listed := plan_facts.features(plan):
        show_table("Features", ["feature", "kind", "values"], listed)


def _facts(card: dict[str, Any]) -> list[list[str]]:
    banks = [bank["name"] + ("" if bank["confirmed"] else " (not confirmed)") for bank in card["banks"]]
    return [
        ["in force", "yes" if card["in_force"] else "no"],
        ["training", card["training"]],
        ["digest", card["digest"]],
        ["SHA-256 of the bytes", card["sha256"]],
        ["plan's digest", card["plan_digest"]],
        *[list(row) for row in plan_facts.facts(card["plan"], card["settings"])],
        *[list(row) for row in plan_facts.safeguards(card["plan"], card["settings"])],
        ["banks", ", ".join(banks)],
        ["rounds", f"{card['rounds']}, fewest banks in one: {card['fewest_contributors']}"],
        ["received", volume(card["bytes_received"])],
        ["trained", f"{moment(card['started_at'])} to {moment(card['ended_at'])} UTC"],
        *[[f"privacy spent: {name}", str(value)] for name, value in card["privacy"].items()],
        *[[figures.label(name), f"{value:g}"] for name, value in figures.other_metrics(card).items()],
        *[[f"software: {name}", version] for name, version in card["software"].items()],
    ]


def _show_part(part: figures.Part) -> None:
    ap = "none" if part.ap is None else f"{part.ap:.4f}"
    metrics = [["average precision", f"{ap} (prevalence {part.prevalence:.4f})"]]
    metrics += [[figures.label(name), f"{value:.4f}"] for name, value in part.metrics.items()]
    show_table(f"On the {part.name} rows", [f"{part.name} rows", ""], metrics)  # a pipe shows no titles
    for title, points in (("rows looked at", part.by_budget), ("precision of at least", part.by_precision)):
        if points:
            show_table(
                "", [f"{part.name}: {title}", "threshold", "alerts", "precision", "recall"],
                [
                    [f"{100 * p.asked:g} %", f"{p.threshold:.4f}", f"{p.alerts:,}", f"{p.precision:.3f}",
                     f"{p.recall:.3f}"]
                    for p in points
                ],
            )  # fmt: skip
