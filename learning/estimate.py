"""How many rounds a plan will take and how many numbers each bank sends in all, before anyone is asked.

Trees that stop growing early, and quantiles that are sharp after one look, take less. Logistic regression may take
more: its rounds depend on the data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from learning import sketch
from learning.drift import DriftSettings
from learning.entities import EntityTableSettings
from learning.evaluation import SCORE_CELLS
from learning.gbdt_settings import GbdtSettings
from learning.limits import MAX_BINS
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.query import Query
from learning.random_trees_settings import RandomTreesSettings
from learning.schema import BooleanFeature, CategoricalFeature, FeatureSchema

#: Newton steps that logistic regression usually takes at most.
_NEWTON_STEPS = 10
#: Cells that a sketch's later passes look at, for every bin wanted.
_CELLS_A_BIN = 8
_DRIFT_CELLS = 512


class Estimate(NamedTuple):
    """Rounds, and the numbers in all of them together."""

    rounds: int
    values: int


def estimate(settings: Any, first: Query) -> Estimate:
    """What a training of these settings will take.

    Args:
        settings: of one of the algorithms.
        first: its first query.
    """
    match settings:
        case GbdtSettings():
            return _gbdt(settings, first.length)
        case RandomTreesSettings():
            judging = 3 if settings.evaluate else 0
            leaves = settings.trees * 2 * 2**settings.max_depth
            coarse = _sketched(settings.inputs) * sketch.COARSE_CELLS
            return Estimate(2 + settings.batches + judging, first.length + coarse + leaves + judging * 4 * SCORE_CELLS)
        case LogisticSettings() | FedAvgSettings():
            return _linear(settings, first.length)
        case EntityTableSettings():
            return Estimate(-(-settings.blocks // settings.blocks_a_round), settings.blocks * settings.width)
        case DriftSettings():
            cells = len(settings.inputs.features) * _DRIFT_CELLS
            return Estimate(1 + sketch.PASSES, first.length + sketch.PASSES * 2 * cells)
        case _:
            return Estimate(1, first.length)


def _sketched(inputs: FeatureSchema) -> int:
    return sum(not isinstance(feature, CategoricalFeature | BooleanFeature) for feature in inputs.features)


def _gbdt(settings: GbdtSettings, first: int) -> Estimate:
    bins = min(settings.max_bin, MAX_BINS - 1)
    width = sum(_bins(feature, bins) for feature in settings.inputs.features) * settings.colsample_bytree
    passes = (sketch.PASSES - 1) if _sketched(settings.inputs) else 0
    # Of two children one is asked for; the other is the rest of its parent.
    asked = 1 + sum(2 ** (level - 1) for level in range(1, settings.max_depth))
    a_tree = asked * width * 2 + (2 * SCORE_CELLS if settings.early_stopping_rounds is not None else 0)
    values = first + passes * _sketched(settings.inputs) * _CELLS_A_BIN * bins + settings.trees * a_tree
    return Estimate(2 + passes + settings.trees * settings.max_depth, round(values + 4 * SCORE_CELLS))


def _bins(feature: Any, bins: int) -> int:
    """A feature's bins, the one for missing values included."""
    if isinstance(feature, CategoricalFeature):
        return len(feature.levels) + 1
    return 3 if isinstance(feature, BooleanFeature) else bins + 1


def _linear(settings: LogisticSettings | FedAvgSettings, first: int) -> Estimate:
    features = len(settings.inputs.features)
    columns = 2 * features + 1  # each with one that says that it is missing, and the intercept
    if isinstance(settings, FedAvgSettings):
        steps, a_step = settings.rounds, 2 + columns
    else:
        steps, a_step = min(settings.max_rounds, _NEWTON_STEPS), 1 + columns + columns * (columns + 1) // 2
    return Estimate(3 + steps, first + 3 * features + steps * a_step + 4 * SCORE_CELLS)
