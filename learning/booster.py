"""The model as a genuine `xgboost.Booster`: its own JSON, which every XGBoost tool reads.

A number goes left when it is below the split's edge, a category right when it is the split's: XGBoost's rules, so that
margins are equal up to the order in which float32 leaves are added.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from learning.gbdt_model import GbdtModel
from learning.schema import CategoricalFeature
from learning.tree import NO_CHILD, Tree

if TYPE_CHECKING:
    import xgboost

_NO_PARENT = 2147483647


def booster_json(model: GbdtModel) -> bytes:
    """XGBoost's JSON of the model."""
    features = model.inputs.features
    # Booleans too are floats: XGBoost's indicators have no direction for missing values, and its tables of trees fail.
    kinds = ["c" if isinstance(feature, CategoricalFeature) else "float" for feature in features]
    trees = [_tree(model, tree, number) for number, tree in enumerate(model.trees)]
    base_score = 1.0 / (1.0 + np.exp(-model.base_margin))
    document = {
        "version": [3, 0, 0],
        "learner": {
            "attributes": {},
            "feature_names": list(model.inputs.names),
            "feature_types": kinds,
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                    "iteration_indptr": list(range(len(trees) + 1)),
                    "tree_info": [0] * len(trees),
                    "trees": trees,
                },
            },
            "learner_model_param": {
                "base_score": repr(float(np.float32(base_score))),
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": str(len(features)),
                "num_target": "1",
            },
            "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
    }
    return json.dumps(document).encode()


def to_booster(model: GbdtModel) -> xgboost.Booster:
    """The model, loaded by the installed XGBoost."""
    import xgboost  # noqa: PLC0415  # the service's processes learn without it

    booster = xgboost.Booster()
    booster.load_model(bytearray(booster_json(model)))
    return booster


def _tree(model: GbdtModel, tree: Tree, number: int) -> dict[str, Any]:
    inner = tree.left != NO_CHILD
    categorical = model.bins.categorical[tree.feature] & inner
    conditions = np.array(
        [_condition(model, tree, node) if inner[node] else tree.value[node] for node in range(tree.nodes)],
        dtype=np.float32,
    )
    with_category = np.flatnonzero(categorical).tolist()
    parents = np.full(tree.nodes, _NO_PARENT, dtype=np.int64)
    for node in np.flatnonzero(inner):
        parents[[tree.left[node], tree.right[node]]] = node
    return {
        "id": number,
        "base_weights": tree.value.tolist(),
        "categories": [int(tree.split_bin[node]) for node in with_category],
        "categories_nodes": with_category,
        "categories_segments": list(range(len(with_category))),
        "categories_sizes": [1] * len(with_category),
        "default_left": tree.default_left.astype(int).tolist(),
        "left_children": tree.left.tolist(),
        "right_children": tree.right.tolist(),
        "loss_changes": tree.gain.tolist(),
        "parents": parents.tolist(),
        "split_conditions": conditions.tolist(),
        "split_indices": tree.feature.tolist(),
        "split_type": categorical.astype(int).tolist(),
        "sum_hessian": tree.cover.tolist(),
        "tree_param": {
            "num_deleted": "0", "num_feature": str(len(model.inputs.features)), "num_nodes": str(tree.nodes),
            "size_leaf_vector": "1",
        },
    }  # fmt: skip


def _condition(model: GbdtModel, tree: Tree, node: int) -> np.float32:
    """The edge that a number must be below to go left."""
    feature, split_bin = int(tree.feature[node]), int(tree.split_bin[node])
    if model.bins.categorical[feature]:
        return np.float32(split_bin)
    edges = model.bins.edges[feature]
    if split_bin < 0:  # every value that is not missing goes right
        return np.float32(-np.finfo(np.float32).max)
    return edges[split_bin] if split_bin < len(edges) else np.float32(np.finfo(np.float32).max)
