"""A model's card as one HTML file that needs nothing else: the pictures are inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from consortium.models import card_figures as figures
from consortium.models.card_pictures import HOW_TO_GET_PICTURES, can_draw, draw
from consortium.plans import plan_facts


def render(card: Mapping[str, Any]) -> str:
    """The page.

    Args:
        card: as the service sends it.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"moment": _moment, "label": figures.label}
    embedded = {title: base64.b64encode(png).decode() for title, png in draw(card).items()}
    return environment.get_template("card.html.j2").render(
        card=card, parts=figures.parts(card), volumes=figures.volumes(card), others=figures.other_metrics(card),
        steps=figures.by_step(card), pictures=embedded, facts=plan_facts.facts(card["plan"], card["settings"]),
        features=plan_facts.features(card["plan"]), noise=plan_facts.privacy_noise(card["settings"]),
        without_pictures="" if can_draw() else HOW_TO_GET_PICTURES,
    )  # fmt: skip


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
