"""docs/plans.md says of every field of a plan what the models say, and its plan is one."""

from __future__ import annotations

from pathlib import Path

from examples.plan_reference import SECTIONS, SMALLEST, fields_of, page
from learning.algorithms import settings_of
from protocol.plan import Plan

PAGE = Path(__file__).parents[2] / "docs" / "plans.md"


def test_the_page_is_what_the_models_say():
    assert PAGE.read_text() == page(), "run: python -m examples.plan_reference > docs/plans.md"


def test_every_field_of_every_model_is_described_and_nothing_else():
    for title, model in SECTIONS:
        described = set(fields_of(model)[1]) | {"kind"}
        assert described == set(model.model_fields) | {"kind"}, title


def test_the_smallest_plan_is_one():
    plan = Plan.model_validate(SMALLEST)
    assert settings_of(plan.learning).kind == "gbdt"
