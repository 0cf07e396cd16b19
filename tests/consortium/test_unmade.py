"""Features that are called like derived ones and that nothing makes: said, with the name that was meant."""

from __future__ import annotations

import pytest

from consortium.plans.unmade import unmade_features
from learning.derived_names import profile_names, risk_names
from protocol.plan import Plan

PROFILES = {"customer": "customer", "time": "time", "amount": "amount", "profile_windows_days": [1, 7]}
TABLE = {"entities": ["terminal", "home_device"], "windows_days": [7]}


def unmade(*names, recipe=PROFILES, tables=(TABLE,)):
    listed = [{"kind": "numeric", "name": name} for name in names]
    plan = Plan(name="p", learning={"kind": "gbdt", "inputs": {"features": listed}}, features=recipe)
    return unmade_features(plan, tables)


def test_what_the_plan_makes_and_what_no_plan_makes_is_not_warned_of():
    assert unmade(*profile_names([1, 7]), *risk_names(["terminal", "home_device"], [7])) == []
    assert unmade("amount", "customer_age", "limit_2026", "7d", recipe={}, tables=()) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("customer_amount_mean_30d", "customer_mean_7d"),
        ("customer_mean_30d", "customer_mean_7d"),
        ("terminal_risk_30d", "terminal_risk_7d"),
        ("customer_hours_since_the_last", "customer_hours_since_last"),
    ],
)
def test_a_slip_is_said_with_a_name_that_is_near(name, meant):
    (said,) = unmade("amount", name)
    assert said.startswith(f"learning.inputs.features: {name!r} is called like a derived feature")
    assert meant in said.partition("did you mean ")[2].partition("?")[0].split(" or ")
    assert "a column of every bank's own file" in said


def test_without_windows_or_tables_nothing_is_made():
    found = unmade("customer_count_7d", "customer_hours_since_last", "terminal_risk_7d", recipe={}, tables=())
    assert len(found) == 3
    assert not any("did you mean" in said for said in found)


def test_a_name_that_is_taken_is_not_meant():
    (said,) = unmade("customer_mean_7d", "customer_mean_1d", "customer_mean_30d")
    assert " customer_mean_" not in said


def test_a_part_of_a_time_and_a_table_have_no_such_column():
    listed = [{"kind": "time", "name": "night_7d", "column": "time", "part": "night"}]
    assert unmade_features(Plan(name="p", learning={"kind": "gbdt", "inputs": {"features": listed}}), ()) == []
    assert unmade_features(Plan(name="p", learning={"kind": "entity_tables"}), ()) == []
