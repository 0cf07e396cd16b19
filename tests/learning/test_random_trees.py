"""Random trees: structure without data, leaves by another way, sensitivity by blanking records, noise of every sum,
quality against epsilon, and the exported booster.
"""

import math

import numpy as np
import pandas as pd
import pytest
import xgboost
from pydantic import TypeAdapter, ValidationError
from scipy import stats
from sklearn.metrics import average_precision_score

from learning.algorithms import LearningSettings, build
from learning.booster import to_booster
from learning.driver import run
from learning.errors import ContributionRejected
from learning.evaluation import SCORE_CELLS, score_histogram
from learning.gbdt_model import GbdtModel
from learning.noised_scores import counts_between, cuts_of, spread_of, unfold
from learning.query import from_fixed_point, to_fixed_point
from learning.random_trees import HESSIAN_SCALE, RandomTrees, leaf_contributions, leaf_weights
from learning.random_trees_settings import RandomTreesSettings
from learning.schema import (
    BooleanFeature,
    CategoricalFeature,
    Dataset,
    FeatureSchema,
    NumericFeature,
    Part,
    Split,
    TimeFeature,
    features_of,
    prepare,
)
from learning.tree import NO_CHILD

SCHEMA = FeatureSchema(
    features=(
        NumericFeature(name="amount", low=0, high=400), NumericFeature(name="age", low=0, high=10),
        NumericFeature(name="risk", low=-4, high=4), BooleanFeature(name="abroad"),
        CategoricalFeature(name="channel", levels=("phone", "shop", "web")),
        TimeFeature(name="hour", column="time", part="hour"),
    ),
    label="fraud", split=Split(test_share=0.3, validation_share=0.1),
)  # fmt: skip


def stream(seed):
    """A seeded stand-in for the operating system's randomness."""
    return np.random.Generator(np.random.Philox(key=seed)).bytes


def rows(n=12_000, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"amount": np.exp(rng.normal(3.5, 1, n)), "age": rng.uniform(0, 10, n)})
    frame["risk"] = rng.normal(0, 1, n)
    frame["abroad"] = rng.random(n) < 0.2
    frame["channel"] = rng.choice(["phone", "shop", "web"], n, p=[0.2, 0.5, 0.3])
    frame["time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 24 * 3600, n), unit="s")
    odds = 1.5 * frame["risk"] + 1.5 * frame["abroad"] + 0.01 * frame["amount"] + (frame["channel"] == "web") - 5.0
    frame["fraud"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    frame.loc[rng.random(n) < 0.05, "age"] = np.nan
    return frame


def settings(**changes):
    return RandomTreesSettings(**({"inputs": SCHEMA, "trees": 12, "trees_a_round": 4, "max_depth": 3} | changes))


def banks_of(frame, count=3, seed=0):
    """The rows in turn, each bank with its own seeded stream."""
    return [prepare(frame.iloc[k::count], SCHEMA, randbytes=stream(1000 * seed + k)) for k in range(count)]


def steps(algorithm, banks):
    """Every state and query of a training, without what `run` hides."""
    state, caches, seen = algorithm.start(), [{} for _ in banks], []
    while (query := algorithm.next_query(state)) is not None:
        seen.append((state, query))
        parts = [
            to_fixed_point(query, algorithm.contribution(state, query, bank, cache))
            for bank, cache in zip(banks, caches, strict=True)
        ]
        state = algorithm.apply(state, query, from_fixed_point(query, np.sum(parts, axis=0)))
    return seen


def without(data, row, seed):
    """Neighbouring rows: one is blanked, so that it adds nothing, and the other rows keep their parts."""
    keep = np.arange(data.rows) != row
    return Dataset(X=data.X[keep], y=data.y[keep], weight=None, part=data.part[keep], randbytes=stream(seed))


@pytest.mark.parametrize("edges", ["declared", "sketched"])
def test_banks_together_train_what_one_bank_with_all_rows_does(edges):
    frame = rows(3000)
    plain = settings(edges=edges)
    data = prepare(frame, SCHEMA)
    parts = [
        Dataset(X=data.X[k::3], y=data.y[k::3], weight=None, part=data.part[k::3]) for k in range(3)
    ]  # rows keep their parts, which go by position
    assert run(build(plain), parts).digest() == run(build(plain), [data]).digest()


def test_declared_structure_is_the_same_for_any_rows_and_another_for_another_seed():
    structure = lambda model: [(t.feature.tolist(), t.split_bin.tolist(), t.left.tolist()) for t in model.trees]  # noqa: E731
    one, two = (run(build(settings()), banks_of(rows(2000, seed))) for seed in (1, 2))
    assert structure(one) == structure(two)
    assert one.digest() != two.digest()
    assert structure(run(build(settings(seed=1)), banks_of(rows(2000, 1)))) != structure(one)
    assert all(np.array_equal(a, b) for a, b in zip(one.bins.edges, two.bins.edges, strict=True))


def test_every_leaf_can_be_reached_and_depth_is_kept():
    trees = run(build(settings(trees=40, max_depth=6)), banks_of(rows(2000))).trees
    assert {tree.depth for tree in trees} == {6}
    model = run(build(settings(trees=40, max_depth=6)), banks_of(rows(2000)))
    rng = np.random.default_rng(3)
    everywhere = np.stack([rng.integers(0, size, 400_000) for size in model.bins.sizes], axis=1).astype(np.uint8)
    for tree in model.trees[:8]:
        reached = np.unique(tree.leaves_of(everywhere, model.bins, 6))
        assert np.array_equal(reached, np.flatnonzero(tree.left == NO_CHILD))


def test_a_tree_ends_where_no_feature_can_be_split_any_more():
    inputs = FeatureSchema(features=(BooleanFeature(name="abroad"),), label="fraud")
    frame = rows(500)
    model = run(build(settings(inputs=inputs, max_depth=5)), [prepare(frame, inputs)])
    assert {tree.depth for tree in model.trees} == {1}


def test_leaves_are_newton_steps_on_the_rows_in_them():
    frame = rows(4000)
    plain = settings(trees=2, trees_a_round=1, learning_rate=0.7, reg_lambda=2.0)
    data = prepare(frame, SCHEMA)
    model = run(build(plain), [data])
    train = data.part == Part.TRAIN
    binned = model.bins.assign(data.X)[train]
    margins = np.full(train.sum(), model.base_margin)
    assert model.base_margin == pytest.approx(np.log(data.y[train].mean() / (1 - data.y[train].mean())), abs=1e-6)
    for tree in model.trees:
        p = 1 / (1 + np.exp(-margins))
        leaf = tree.leaves_of(binned, model.bins, 3)
        for node in np.flatnonzero(tree.left == NO_CHILD):
            here = leaf == node
            expected = -0.7 * (p - data.y[train])[here].sum() / ((p * (1 - p))[here].sum() + 2.0)
            assert tree.value[node] == pytest.approx(expected, abs=1e-5)
        margins = margins + tree.margins_of(binned, model.bins)


def test_leaf_weights_shrink_to_nothing_in_the_noise():
    g, h = np.array([-30.0, -3.0, 5.0]), np.array([50.0, 0.5, 0.0])
    assert np.allclose(leaf_weights(g, h, 1.0, 0.0), [30 / 51, 2.0, 0.0])
    noisy = leaf_weights(g, h, 1.0, 10.0)
    assert noisy[0] == pytest.approx(30 * 50 / (2500 + 50 + 100))
    assert abs(noisy[1]) < 0.02
    assert noisy[2] == 0


def test_no_record_adds_more_than_one_to_a_tree_and_the_scale_leaves_little_room():
    """The sensitivity's inequality over all probabilities, and that a scale 5 % larger would break it."""
    margins = np.concatenate([np.linspace(-40, 40, 400_001), [-1e3, 1e3]])
    resolution = 2.0**-19
    for label in (0, 1):
        units = leaf_contributions(margins, np.full(len(margins), label, dtype=np.uint8), resolution)
        assert np.linalg.norm(units, axis=1).max() * resolution <= 1 + resolution / math.sqrt(2)
        p = 1 / (1 + np.exp(-margins[:-2]))
        larger = np.hypot(p - label, 1.05 * HESSIAN_SCALE * p * (1 - p))
        assert larger.max() > 1 + 1e-3
    assert ((1 + math.sqrt(5)) / 2) ** 5 > HESSIAN_SCALE**2


@pytest.mark.parametrize("edges", ["declared", "sketched"])
def test_blanking_a_record_moves_no_sum_further_than_its_sensitivity(edges):
    """With the same stream the noise cancels, and what is left is the record: at most the sensitivity, at times all."""
    algorithm = RandomTrees(settings(edges=edges, trees=10, privacy={"epsilon": 2.0}))
    data = banks_of(rows(900), 1)[0]
    farthest = {}
    chosen = [*range(0, 900, 45), *np.flatnonzero(data.y == 1)[:10].tolist()]
    for state, query in steps(algorithm, [data]):
        for row in chosen:
            both = [algorithm.contribution(state, query, without(data, gone, 7), {}) for gone in (row, 900)]
            kind = query.name.removeprefix("random_gbdt.")
            moved = float(np.linalg.norm(both[0] - both[1]))
            sensitivity = algorithm._sigma(kind) / algorithm.noise.sigma(kind, 1.0)
            assert moved <= sensitivity
            farthest[kind] = max(farthest.get(kind, 0.0), moved / sensitivity)
    assert set(farthest) == {"count", *(["sketch"] if edges == "sketched" else []), "leaves", "spread", "scores"}
    assert all(found > 0.9 for found in farthest.values())


@pytest.mark.parametrize("answering", [3, 5])
def test_every_sum_carries_the_plans_noise_with_the_fewest_banks(answering):
    """Five banks were planned, three must answer; banks without rows send their noise alone. False alarm 1e-6 a sum."""
    privacy = {"epsilon": 1.0, "noise_banks": 3}
    algorithm = RandomTrees(settings(trees=32, trees_a_round=16, edges="sketched", max_depth=5, privacy=privacy))
    for state, query in steps(algorithm, banks_of(rows(3000), 3)):
        kind = query.name.removeprefix("random_gbdt.")
        nobody = prepare(rows(0), SCHEMA)
        sums = np.zeros(query.length)
        for bank in range(answering):
            empty = Dataset(X=nobody.X, y=nobody.y, weight=None, part=nobody.part, randbytes=stream(bank))
            sums += algorithm.contribution(state, query, empty, {})
        statistic = (sums**2).sum() / (algorithm._sigma(kind) ** 2 * answering / 3)
        assert stats.chi2.ppf(5e-7, query.length) < statistic < stats.chi2.ppf(1 - 5e-7, query.length)


def test_noise_differs_from_round_to_round_and_run_to_run():
    private = settings(privacy={"epsilon": 1.0})
    assert (
        run(build(private), banks_of(rows(1000), seed=1)).digest() != run(build(private), banks_of(rows(1000))).digest()
    )
    algorithm, data = RandomTrees(private), banks_of(rows(1000), 1)[0]
    query = algorithm.next_query(algorithm.start())
    one, two = (algorithm.contribution(algorithm.start(), query, data, {}) for _ in range(2))
    assert not np.array_equal(one, two)


def test_noise_without_a_source_of_randomness_is_refused():
    with pytest.raises(ContributionRejected, match="source of randomness"):
        run(build(settings(privacy={"epsilon": 1.0})), [prepare(rows(300), SCHEMA)])


def test_average_precision_falls_with_epsilon_and_stays_above_chance():
    """Means of three noises; measured 0.23, 0.30, 0.39 and 0.41 at epsilon 0.5, 1, 3 and 8, and chance is 0.07."""
    frame = rows(24_000)
    test = prepare(frame, SCHEMA)
    chosen = test.part == Part.TEST
    data = [
        Dataset(X=test.X[k::3], y=test.y[k::3], weight=None, part=test.part[k::3], randbytes=stream(k))
        for k in range(3)
    ]
    found = {}
    for target in (0.5, 1.0, 3.0, 8.0):
        plan = settings(trees=60, trees_a_round=15, max_depth=4, learning_rate=1.0, privacy={"epsilon": target})
        models = [run(build(plan), data) for _ in range(3)]
        found[target] = np.mean([average_precision_score(test.y[chosen], m.margins(test.X[chosen])) for m in models])
    chance = test.y[chosen].mean()
    assert found[0.5] > 2 * chance
    assert found[8.0] > 4 * chance
    assert found[8.0] > found[1.0] > found[0.5] - 0.03
    assert found[3.0] > found[0.5]


@pytest.mark.parametrize("privacy", [None, {"epsilon": 3.0}])
def test_the_booster_gives_our_margins(privacy):
    frame = rows(3000)
    model = run(build(settings(privacy=privacy, edges="sketched", max_depth=5)), banks_of(frame))
    X = features_of(frame, SCHEMA)
    table = pd.DataFrame(X, columns=SCHEMA.names)
    booster = to_booster(model)
    matrix = xgboost.DMatrix(table, feature_names=list(SCHEMA.names), feature_types=booster.feature_types)
    assert np.allclose(booster.predict(matrix, output_margin=True), model.margins(X), atol=1e-5)
    assert GbdtModel.from_bytes(model.to_bytes()).digest() == model.digest()


def test_the_model_says_what_was_spent():
    model = run(build(settings(privacy={"epsilon": 2.0, "delta": 1e-5, "noise_banks": 3})), banks_of(rows(1000)))
    assert model.privacy["epsilon"] == pytest.approx(2.0, abs=1e-3)
    assert model.privacy["epsilon"] <= 2.0001
    assert (model.privacy["delta"], model.privacy["noise_banks"]) == (1e-5, 3)
    assert model.evaluation["noise_sigma_of_counts"] > 1
    assert not run(build(settings()), banks_of(rows(1000))).privacy


def test_the_federated_evaluation_is_that_of_the_pooled_scores():
    frame = rows(6000)
    data = prepare(frame, SCHEMA)
    chosen = data.part == Part.TEST
    model = run(build(settings()), [data])
    pooled = average_precision_score(data.y[chosen], model.margins(data.X[chosen]))
    assert model.evaluation["test_ap"] == pytest.approx(pooled, abs=0.01)
    assert "test_ap" not in run(build(settings(evaluate=False)), [data]).evaluation


def test_groups_of_scores_count_every_row_and_keep_the_metrics():
    rng = np.random.default_rng(2)
    y = (rng.random(40_000) < 0.05).astype(np.uint8)
    margins = rng.normal(-3, 1, 40_000) + 2.5 * y
    scores = np.stack([score_histogram(margins, y)] * 2)
    spread = spread_of(scores)
    assert spread.sum() == 80_000
    cuts = cuts_of(spread.astype(np.float64), 0.5, 0.5)
    assert (np.diff(cuts) > 0).all()
    counts = counts_between(scores, cuts)
    assert counts.sum(axis=-1).tolist() == scores.sum(axis=-1).tolist()
    again = unfold(counts.astype(np.float64), cuts)
    assert again.sum(axis=-1).tolist() == scores.sum(axis=-1).tolist()
    few = cuts_of(spread.astype(np.float64), 500.0, 500.0)
    assert 2 <= len(few) < len(cuts)
    assert np.array_equal(cuts_of(np.zeros(len(spread)), 5.0, 5.0), [1, SCORE_CELLS - 1])


def test_a_group_below_nothing_is_paid_by_the_next_lower_one():
    cuts = np.array([1, 11, 21, 31])
    scores = unfold(np.array([10.0, 20.0, -5.0]), cuts)
    assert (scores[1:11].sum(), scores[11:21].sum(), scores[21:31].sum()) == (10, 15, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": SCHEMA.model_copy(update={"weight": "w"})}, "no row weights"),
        ({"inputs": FeatureSchema(features=(NumericFeature(name="a", low=0),), label="y")}, "declared low and high"),
        ({"privacy": {}}, "one of both"),
        ({"privacy": {"epsilon": 1.0, "delta": 0.5}}, "delta"),
        ({"max_bin": 256}, "max_bin"),
        ({"reg_lambda": 0}, "reg_lambda"),
    ],
)
def test_plans_that_cannot_be_kept_are_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(**changes)


def test_a_plans_text_finds_the_algorithm():
    learning = settings(privacy={"epsilon": 1.0}).model_dump(mode="json")
    found = TypeAdapter(LearningSettings).validate_python(learning)
    assert isinstance(build(found), RandomTrees)
