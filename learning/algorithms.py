"""From a plan's settings to its algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from learning.drift import Drift, DriftSettings
from learning.entities import EntityTableSettings
from learning.entity_tables import EntityTables
from learning.errors import SettingsRejected
from learning.fedavg import FederatedAveraging
from learning.gbdt import GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.logistic import LogisticRegression
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.query import Algorithm
from learning.random_trees import RandomTrees
from learning.random_trees_settings import RandomTreesSettings

#: The settings of any algorithm.
AnySettings = (
    GbdtSettings | RandomTreesSettings | LogisticSettings | FedAvgSettings | EntityTableSettings | DriftSettings
)
#: What a plan's `learning` may be; `kind` says which.
LearningSettings = Annotated[AnySettings, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[AnySettings] = TypeAdapter(LearningSettings)


def settings_of(learning: Mapping[str, Any]) -> AnySettings:
    """A plan's `learning` as its algorithm's settings.

    Raises:
        SettingsRejected: it is none of any algorithm.
    """
    try:
        return _ADAPTER.validate_python(dict(learning))
    except ValidationError as error:
        raise SettingsRejected(error.errors(include_url=False)) from error


def setting_names() -> set[str]:
    """Every name of a setting that some algorithm has, those within others included."""
    schema = _ADAPTER.json_schema()
    return {name for part in schema["$defs"].values() for name in part.get("properties", ())}


def build(settings: AnySettings) -> Algorithm[Any, Any, Any]:
    """The algorithm of these settings."""
    match settings:
        case GbdtSettings():
            return GradientBoosting(settings)
        case RandomTreesSettings():
            return RandomTrees(settings)
        case LogisticSettings():
            return LogisticRegression(settings)
        case FedAvgSettings():
            return FederatedAveraging(settings)
        case EntityTableSettings():
            return EntityTables(settings)
        case DriftSettings():
            return Drift(settings)
