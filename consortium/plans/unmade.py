"""Features of a plan that are called like derived ones, though nothing of the plan makes them.

No name is reserved: a bank's own file may have a column of any name, so this is a warning and no refusal. Most often it
is a slip that every bank would find for itself, after the plan has been created for good.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from learning.derived_names import profile_names, risk_names
from protocol.plan import Plan

#: What ends in a window, or tells the time since something.
_LOOKS_DERIVED = re.compile(r".+_\d+d|customer_.*since.*")


def unmade_features(plan: Plan, tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for every such feature.

    Args:
        plan: its settings are those of an algorithm.
        tables: settings of the entity tables that its features come from, defaults included.
    """
    listed = plan.learning.get("inputs", {}).get("features", [])
    names = [feature["name"] for feature in listed if feature["kind"] != "time"]
    made = _made(plan, tables)
    return [
        f"learning.inputs.features: {name!r} is called like a derived feature, but features.profile_windows_days and "
        f"features.entity_tables make none of this name{_hint(name, made - set(names))}; it is read from a column of "
        "every bank's own file"
        for name in names
        if _LOOKS_DERIVED.fullmatch(name) and name not in made
    ]


def _made(plan: Plan, tables: Sequence[Mapping[str, Any]]) -> set[str]:
    windows = plan.features.profile_windows_days
    profiles = profile_names(windows) if windows else []
    return {*profiles, *(name for one in tables for name in risk_names(one["entities"], one["windows_days"]))}


def _hint(name: str, made: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(made), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
