"""Which columns of the bank's file a plan needs: to train, to score, and to look back on."""

from __future__ import annotations

from collections.abc import Iterable

from learning.algorithms import AnySettings
from learning.derived_names import profile_names
from learning.entities import EntityTableSettings
from learning.risk_table import RiskTable
from learning.schema import TimeFeature
from protocol.features import FeatureRecipe


def derived_columns(recipe: FeatureRecipe, tables: Iterable[RiskTable]) -> set[str]:
    """Columns that the recipe makes, hence need not be in the file."""
    names = {name for table in tables for name in table.feature_names()}
    return names | (set(profile_names(recipe.profile_windows_days)) if recipe.profile_windows_days else set())


def source_columns(
    settings: AnySettings, recipe: FeatureRecipe, tables: Iterable[RiskTable], *, for_scoring: bool = False
) -> list[str]:
    """Columns that are read, derived ones included where they are inputs.

    Args:
        settings: the plan's algorithm.
        recipe: how features are derived.
        tables: entity tables that the recipe names.
        for_scoring: without the label, weight and time of the split, which new rows do not have.
    """
    columns: list[str] = []
    if isinstance(settings, EntityTableSettings):
        columns += [*settings.entities, settings.time, settings.label]
    elif for_scoring:
        columns += [f.column if isinstance(f, TimeFeature) else f.name for f in settings.inputs.features]
    else:
        columns += settings.inputs.columns
    for table in tables:
        columns += [*table.settings.entities, table.settings.time]
    columns += look_back_columns(recipe) if recipe.profile_windows_days else [recipe.time] if recipe.time else []
    return list(dict.fromkeys(columns))


def look_back_columns(recipe: FeatureRecipe) -> list[str]:
    """Columns that customer profiles need of earlier rows."""
    return [column for column in (recipe.customer, recipe.time, recipe.amount) if column is not None]


def time_columns(settings: AnySettings, recipe: FeatureRecipe) -> set[str]:
    """Those of a plan's columns that are times."""
    found = {recipe.time}
    if isinstance(settings, EntityTableSettings):
        found.add(settings.time)
    else:
        found.add(settings.inputs.time)
        found |= {feature.column for feature in settings.inputs.features if isinstance(feature, TimeFeature)}
    return {column for column in found if column is not None}
