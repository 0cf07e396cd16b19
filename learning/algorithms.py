"""From a plan's settings to its algorithm."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from learning.drift import Drift, DriftSettings
from learning.entities import EntityTableSettings
from learning.entity_tables import EntityTables
from learning.fedavg import FederatedAveraging
from learning.gbdt import GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.logistic import LogisticRegression
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.query import Algorithm
from learning.random_trees import RandomTrees
from learning.random_trees_settings import RandomTreesSettings

#: What a plan's `learning` may be; `kind` says which.
LearningSettings = Annotated[
    GbdtSettings | RandomTreesSettings | LogisticSettings | FedAvgSettings | EntityTableSettings | DriftSettings,
    Field(discriminator="kind"),
]


def build(
    settings: GbdtSettings
    | RandomTreesSettings
    | LogisticSettings
    | FedAvgSettings
    | EntityTableSettings
    | DriftSettings,
) -> Algorithm[Any, Any, Any]:
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
