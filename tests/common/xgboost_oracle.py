"""Stock XGBoost on the same bins: the oracle of trees that were grown over secure sums.

Every value is replaced by its bin's lower edge, so that XGBoost's own `hist` finds exactly our bins. What is compared
is what XGBoost itself writes: its JSON.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray

from learning.algorithms import build
from learning.binning import Bins
from learning.driver import run
from learning.gbdt_model import GbdtModel
from learning.gbdt_settings import GbdtSettings
from learning.schema import (
    BooleanFeature,
    CategoricalFeature,
    Dataset,
    Feature,
    FeatureSchema,
    NumericFeature,
    Part,
    prepare,
)

#: Settings that XGBoost knows by the same name.
_SHARED = (
    "max_depth", "learning_rate", "reg_lambda", "reg_alpha", "gamma", "min_child_weight", "max_delta_step",
    "scale_pos_weight",
)  # fmt: skip


def schema_of(frame: pd.DataFrame, **more: Any) -> FeatureSchema:
    """A schema of every column but `fraud`, `weight` and `time`."""
    features: list[Feature] = []
    for name in frame.columns:
        if name in {"fraud", "weight", "time"}:
            continue
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            features.append(CategoricalFeature(name=name, levels=tuple(map(str, frame[name].cat.categories))))
        elif pd.api.types.is_bool_dtype(frame[name]):
            features.append(BooleanFeature(name=name))
        else:
            features.append(NumericFeature(name=name))
    return FeatureSchema(features=tuple(features), label="fraud", **more)


def pooled(frame: pd.DataFrame, inputs: FeatureSchema | None = None, **settings: Any) -> tuple[GbdtModel, Dataset]:
    """Our trees on all rows at one bank, summed in the clear."""
    inputs = inputs or schema_of(frame)
    data = prepare(frame, inputs)
    model = run(build(GbdtSettings(**({"inputs": inputs, "trees": 15, "max_depth": 4} | settings))), [data])
    assert isinstance(model, GbdtModel)
    return model, data


def representatives(bins: Bins) -> list[NDArray[np.float32]]:
    """A number for every bin of every feature, the missing one's last: the lower edge, or just below all edges."""
    found = []
    for edges, categorical in zip(bins.edges, bins.categorical, strict=True):
        if categorical:
            values = np.arange(len(edges) + 1, dtype=np.float32)
        else:
            lowest = np.nextafter(edges[0], np.float32(-np.inf)) if len(edges) else np.float32(0)
            values = np.append(lowest, edges).astype(np.float32)
        found.append(np.append(values, np.float32(np.nan)))
    return found


def as_matrix(model: GbdtModel, data: Dataset) -> xgboost.DMatrix:
    """The rows as XGBoost takes them, every value its bin's representative."""
    binned = model.bins.assign(data.X)
    values = np.column_stack([line[binned[:, k]] for k, line in enumerate(representatives(model.bins))])
    return xgboost.DMatrix(
        values, data.y, weight=data.weight, feature_names=list(model.inputs.names),
        feature_types=["c" if flag else "float" for flag in model.bins.categorical], enable_categorical=True,
    )  # fmt: skip


def oracle(model: GbdtModel, data: Dataset) -> xgboost.Booster:
    """What XGBoost's `hist` grows on the training rows with the model's settings and bins."""
    settings = model.settings
    train = np.flatnonzero(data.part == Part.TRAIN)
    parameters = {name: settings[name] for name in _SHARED} | {
        "objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "max_bin": 256,
        "max_cat_to_onehot": 1000, "base_score": float(np.float32(1 / (1 + math.exp(-model.base_margin)))),
    }  # fmt: skip
    if settings["monotone"]:
        parameters["monotone_constraints"] = settings["monotone"]
    return xgboost.train(parameters, as_matrix(model, data).slice(train), settings["trees"])


def trees_of(booster: xgboost.Booster) -> list[dict[str, Any]]:
    """XGBoost's own description of its trees."""
    document = json.loads(bytes(booster.save_raw("json")))
    found: list[dict[str, Any]] = document["learner"]["gradient_booster"]["model"]["trees"]
    return found
