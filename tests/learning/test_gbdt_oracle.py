"""Trees over secure sums against stock XGBoost on the same bins: the same splits, the same leaves, the same margins."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from learning.tree import NO_CHILD
from tests.common.xgboost_oracle import as_matrix, oracle, pooled, representatives, schema_of, trees_of


def draw(rng, margin):
    return (rng.random(len(margin)) < 1 / (1 + np.exp(-np.asarray(margin, dtype=np.float64)))).astype(int)


def mixed(n=3000, seed=1):
    """Missing values, a heavy tail, categories with missing ones, a constant and an empty column."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"amount": np.exp(rng.normal(3, 2, n)), "risk": rng.normal(size=n), "constant": 7.0})
    frame["age"] = np.where(rng.random(n) < 0.3, np.nan, rng.normal(40, 15, n))
    frame["empty"] = np.nan
    frame["channel"] = pd.Categorical(rng.choice(list("uvwxyz"), n), categories=list("tuvwxyz"))
    frame.loc[rng.random(n) < 0.1, "channel"] = np.nan
    margin = -4 + frame["risk"] + 0.3 * np.log(frame["amount"]) + 1.5 * (frame["channel"] == "u") + frame["age"].isna()
    frame["fraud"] = draw(rng, margin)
    return frame


def ties(n=2500, seed=2):
    """Few distinct values, whole numbers, a column twice and one mirrored: many splits of equal gain."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"count": rng.poisson(2, n), "hour": rng.integers(0, 24, n), "abroad": rng.random(n) < 0.2})
    frame["twin"] = frame["count"]
    frame["mirror"] = -frame["hour"]
    frame["coarse"] = frame["hour"] // 6
    frame["fraud"] = draw(rng, -3 + 0.5 * frame["count"] + (frame["hour"] < 6) + frame["abroad"])
    return frame


def rare(n=20_000, seed=3):
    """One fraud in 300."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.standard_t(3, (n, 5)), columns=list("abcde"))
    frame["fraud"] = draw(rng, -7.5 + 1.2 * frame["a"] + 0.8 * frame["b"] * (frame["c"] > 0))
    return frame


def weighted(n=3000, seed=4):
    """Rows that count differently."""
    rng = np.random.default_rng(seed)
    frame = mixed(n, seed)
    frame["weight"] = rng.gamma(1.0, 1.0, n).astype(np.float32) + np.float32(0.01)
    return frame


def medical():
    """A real table: 569 rows, 30 continuous columns that say nearly the same."""
    return load_breast_cancer(as_frame=True).frame.rename(columns={"target": "fraud"})


CASES = {
    "missing, categories, constants": (mixed, {}),
    "another seed, fine bins": (lambda: mixed(seed=11), {"max_bin": 255, "max_depth": 6}),
    "ties": (ties, {}),
    # With larger steps trees overshoot to p near 1, where XGBoost's float32 loses the digits of 1 − p.
    "imbalance": (rare, {"max_bin": 64, "learning_rate": 0.1}),
    "imbalance, frauds weighted": (rare, {"scale_pos_weight": 50.0, "learning_rate": 0.1}),
    "real table": (medical, {"max_bin": 32, "max_depth": 3}),
    "row weights": (weighted, {"min_child_weight": 3.0}),
    "reg_alpha": (mixed, {"reg_alpha": 2.0, "reg_lambda": 0.5}),
    "gamma": (mixed, {"gamma": 3.0}),
    "min_child_weight": (mixed, {"min_child_weight": 20.0}),
    "max_delta_step": (mixed, {"max_delta_step": 0.4, "scale_pos_weight": 4.0}),
    "max_delta_step, reg_alpha": (mixed, {"max_delta_step": 0.4, "reg_alpha": 1.0}),
    "monotone": (mixed, {"monotone": {"risk": 1, "amount": -1, "age": 1}}),
    "monotone, all regularised": (
        mixed,
        {"monotone": {"risk": -1}, "reg_alpha": 0.5, "gamma": 0.2, "max_delta_step": 0.7, "min_child_weight": 2.0},
    ),
}  # fmt: skip


def bins_to_the_left(model, tree, node, theirs):
    """How many value bins go left at a number's split: ours, and by XGBoost's threshold."""
    values = representatives(model.bins)[tree.feature[node]][:-1]
    return int(tree.split_bin[node]) + 1, int(np.searchsorted(values, np.float32(theirs["split_conditions"][node])))


def gain_rounding(model, tree, node):
    """By how much XGBoost's gain may be off: a difference of scores w²·(h + λ) of sums of float32 gradients."""
    nodes = [node, tree.left[node], tree.right[node]]
    weights = tree.value[nodes].astype(np.float64) / model.settings["learning_rate"]
    scores = weights**2 * (tree.cover[nodes] + model.settings["reg_lambda"])
    return 1e-5 * (scores.sum() + tree.gain[node])


def assert_same_tree(model, data, tree, theirs):
    """Node by node what XGBoost has: feature, bins that go left, where missing values go, leaf values, gains."""
    assert tree.left.tolist() == theirs["left_children"]
    assert tree.right.tolist() == theirs["right_children"]
    category = dict(zip(theirs["categories_nodes"], theirs["categories"], strict=True))
    binned = model.bins.assign(data.X)
    at = np.zeros(data.rows, dtype=np.int32)
    for node in range(tree.nodes):
        if tree.left[node] == NO_CHILD:
            assert tree.value[node] == pytest.approx(theirs["split_conditions"][node], abs=1e-5, rel=1e-5)
            continue
        feature = int(tree.feature[node])
        assert feature == theirs["split_indices"][node]
        if model.bins.categorical[feature]:
            assert tree.split_bin[node] == category[node]
        else:
            ours, expected = bins_to_the_left(model, tree, node, theirs)
            assert ours == expected
        # Where no row of the node lacks the value, XGBoost's direction follows its rounding errors.
        if (binned[at == node, feature] == model.bins.sizes[feature] - 1).any():
            assert bool(tree.default_left[node]) == bool(theirs["default_left"][node])
        assert abs(tree.gain[node] - theirs["loss_changes"][node]) <= gain_rounding(model, tree, node)
        assert tree.cover[node] == pytest.approx(theirs["sum_hessian"][node], rel=1e-5)
        move_down(tree, node, at, binned, model)


def first_difference(model, tree, theirs):
    """The first node that XGBoost splits otherwise, or None."""
    category = dict(zip(theirs["categories_nodes"], theirs["categories"], strict=True))
    for node in range(min(tree.nodes, len(theirs["left_children"]))):
        if tree.left[node] != theirs["left_children"][node] or tree.feature[node] != theirs["split_indices"][node]:
            return node
        if tree.left[node] == NO_CHILD:
            continue
        if model.bins.categorical[tree.feature[node]]:
            same = tree.split_bin[node] == category[node]
        else:
            ours, expected = bins_to_the_left(model, tree, node, theirs)
            same = ours == expected
        if not same:
            return node
    return None


def rows_to_the_left(model, binned, node, theirs):
    """Which rows XGBoost's split of a node sends left."""
    feature = theirs["split_indices"][node]
    column = binned[:, feature]
    category = dict(zip(theirs["categories_nodes"], theirs["categories"], strict=True))
    values = representatives(model.bins)[feature]
    left = column != category[node] if node in category else values[column] < theirs["split_conditions"][node]
    missing = column == model.bins.sizes[feature] - 1
    return np.where(missing, bool(theirs["default_left"][node]), left)


def score(model, data, margins, rows):
    """G²/(H + λ) of some rows, in doubles."""
    p = 1 / (1 + np.exp(-margins[rows]))
    return (p - data.y[rows]).sum() ** 2 / ((p * (1 - p)).sum() + model.settings["reg_lambda"])


def move_down(tree, node, at, binned, model):
    """Moves the rows of one node to its children; children come after their parents."""
    here = at == node
    moved = at[here]
    tree.step(moved, np.ascontiguousarray(binned[here]), model.bins)
    at[here] = moved


@pytest.mark.parametrize("case", CASES)
def test_every_split_and_leaf_is_stock_xgboosts(case):
    make, settings = CASES[case]
    frame = make()
    inputs = schema_of(frame, weight="weight" if "weight" in frame else None)
    model, data = pooled(frame, inputs, **({"max_bin": 32} | settings))
    booster = oracle(model, data)
    theirs = trees_of(booster)
    assert len(model.trees) == len(theirs) == 15
    assert sum(tree.nodes > 1 for tree in model.trees) > 5
    for tree, expected in zip(model.trees, theirs, strict=True):
        assert_same_tree(model, data, tree, expected)
    margins = booster.predict(as_matrix(model, data), output_margin=True)
    np.testing.assert_allclose(model.margins(data.X), margins, atol=1e-5, rtol=1e-5)


def test_of_equal_gains_the_first_feature_and_the_lowest_bin_win_as_in_xgboost():
    """A column three times, mirrored once: every split has its equals, exactly, and yet the same is taken."""
    rng = np.random.default_rng(7)
    x = rng.integers(0, 9, 1500)
    frame = pd.DataFrame({"first": x, "mirror": -x, "second": x, "third": x, "fraud": draw(rng, x - 6.0)})
    model, data = pooled(frame, max_depth=3)
    for tree, expected in zip(model.trees, trees_of(oracle(model, data)), strict=True):
        assert_same_tree(model, data, tree, expected)
        assert set(tree.feature.tolist()) == {0}


def test_row_and_column_sampling_follow_the_public_seed_alone():
    frame = rare(6000)
    sampled = {"subsample": 0.4, "colsample_bytree": 0.4, "max_depth": 3}
    one, _ = pooled(frame, seed=5, **sampled)
    again, _ = pooled(frame, seed=5, **sampled)
    other, _ = pooled(frame, seed=6, **sampled)
    assert one.digest() == again.digest() != other.digest()
    assert [tree.value.tolist() for tree in one.trees] != [tree.value.tolist() for tree in other.trees]
    used = [set(tree.feature[tree.left != NO_CHILD].tolist()) for tree in one.trees]
    assert max(map(len, used)) <= 2  # two of the five columns
    assert len(set.union(*used)) == 5
    whole, _ = pooled(frame, trees=1, max_depth=3)
    assert one.trees[0].cover[0] / whole.trees[0].cover[0] == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("seed", [1, 2, 5, 11, 23])
def test_where_xgboost_splits_otherwise_the_gains_are_equal_but_for_its_rounding(seed):
    """Without λ many nodes have splits of equal gain, or of none at all, and float32 noise decides in XGBoost.

    The exact gain of XGBoost's split, from the rows, is then at most ours, and less by no more than that noise.
    """
    model, data = pooled(mixed(seed=seed), max_bin=128, max_depth=6, reg_lambda=0.0)
    binned = model.bins.assign(data.X)
    margins = np.full(data.rows, model.base_margin)
    for tree, theirs in zip(model.trees, trees_of(oracle(model, data)), strict=True):
        node = first_difference(model, tree, theirs)
        if node is None:
            margins += tree.margins_of(binned, model.bins)
            continue
        at = np.zeros(data.rows, dtype=np.int32)
        for above in range(node):
            move_down(tree, above, at, binned, model)
        here = at == node
        whole = score(model, data, margins, here)
        gain = 0.0
        if theirs["left_children"][node] != NO_CHILD:
            left = here & rows_to_the_left(model, binned, node, theirs)
            right = here & ~left
            assert min(left.sum(), right.sum()) > 0
            gain = score(model, data, margins, left) + score(model, data, margins, right) - whole
        least = 1e-6  # what neither takes for a gain
        assert tree.gain[node] >= gain - least - 2.0**-23 * gain - 1e-8 * whole
        assert tree.gain[node] <= gain + least + 2.0**-21 * (whole + gain)
        break
    else:
        pytest.fail("no split differs: another seed would show the tie")
