"""The exported booster in stock XGBoost, and the training around it: digests, early stopping, banks, encryption."""

import json

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import average_precision_score

from learning.algorithms import build
from learning.booster import booster_json, to_booster
from learning.driver import plain_sum, run
from learning.evaluation import CELLS_A_UNIT, REACH
from learning.gbdt_model import GbdtModel
from learning.gbdt_settings import GbdtSettings
from learning.query import to_fixed_point
from learning.schema import (
    BooleanFeature,
    CategoricalFeature,
    FeatureSchema,
    NumericFeature,
    Part,
    Split,
    TimeFeature,
    features_of,
    prepare,
)
from tests.common.sums import Banks, open_sum, total

LEVELS = ("phone", "post", "shop", "web")
FEATURES = (
    NumericFeature(name="amount"), NumericFeature(name="age"), NumericFeature(name="risk"),
    BooleanFeature(name="abroad"), CategoricalFeature(name="channel", levels=LEVELS),
    TimeFeature(name="hour", column="time", part="hour"),
)  # fmt: skip
INPUTS = FeatureSchema(
    features=FEATURES, label="fraud", time="time", split=Split(validation_from="2026-02-01", test_from="2026-02-15")
)


def payments(n=4000, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"amount": np.exp(rng.normal(3, 2, n)).round(2), "age": rng.normal(40, 15, n)})
    frame["risk"] = rng.normal(size=n)
    frame["abroad"] = pd.array(np.where(rng.random(n) < 0.1, None, rng.random(n) < 0.3), dtype="boolean")
    frame["channel"] = rng.choice(LEVELS[:1] + LEVELS[2:], n)
    frame["time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 60 * 24 * 60, n), unit="min")
    frame.loc[rng.random(n) < 0.2, "age"] = np.nan
    frame.loc[rng.random(n) < 0.1, "channel"] = None
    odds = -5 + frame["risk"] + 0.4 * np.log1p(frame["amount"]) + 2 * (frame["channel"] == "web") + frame["age"].isna()
    frame["fraud"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    return frame


def settings(**changes):
    return GbdtSettings(**({"inputs": INPUTS, "trees": 12, "max_depth": 4, "max_bin": 32} | changes))


def train(frame, banks=1, secure_sum=plain_sum, **changes):
    plan = settings(**changes)
    parts = [prepare(frame.iloc[k::banks], plan.inputs) for k in range(banks)]
    return run(build(plan), parts, secure_sum=secure_sum)


@pytest.fixture(scope="module")
def frame():
    return payments()


@pytest.fixture(scope="module")
def model(frame):
    return train(frame)


def awkward(model, frame):
    """The rows, and those that a model meets later: values on edges and beyond them, each feature missing, all."""
    X = features_of(frame, model.inputs)
    rows = [X]
    for k, edges in enumerate(model.bins.edges):
        codes = np.arange(len(edges) + 1)
        numbers = np.concatenate([edges, np.nextafter(edges, np.float32(-np.inf)), [-3.4e38, 3.4e38, 0.0]])
        at = np.append(codes if model.bins.categorical[k] else numbers, np.nan)
        more = X[np.arange(len(at)) % len(X)].copy()
        more[:, k] = at
        rows.append(more)
    rows.append(np.full((1, X.shape[1]), np.nan))
    return np.concatenate(rows).astype(np.float32)


def matrix(model, X):
    kinds = ["c" if flag else "float" for flag in model.bins.categorical]
    return xgboost.DMatrix(
        X, feature_names=list(model.inputs.names), feature_types=kinds, enable_categorical=True, nthread=1
    )


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_saved_and_loaded_by_stock_xgboost_the_margins_are_ours(model, frame, tmp_path, ending):
    path = tmp_path / f"model.{ending}"
    to_booster(model).save_model(path)
    booster = xgboost.Booster(model_file=path)
    X = awkward(model, frame)
    margins = booster.predict(matrix(model, X), output_margin=True)
    np.testing.assert_allclose(margins, model.margins(X), atol=1e-5, rtol=0)
    assert np.ptp(margins) > 3
    assert booster.num_boosted_rounds() == len(model.trees) == 12
    assert booster.feature_names == list(model.inputs.names)


def test_our_document_itself_is_a_model_file_and_says_what_xgboost_asks(model, frame, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(booster_json(model))
    classifier = xgboost.XGBClassifier()
    classifier.load_model(path)
    X = features_of(frame, model.inputs)
    probability = classifier.predict_proba(pandas_rows(model, X))[:, 1]
    np.testing.assert_allclose(probability, model.predict_proba(frame), atol=1e-6)
    assert json.loads(path.read_bytes())["learner"]["objective"]["name"] == "binary:logistic"
    booster = to_booster(model)
    used = {model.inputs.names[k] for tree in model.trees for k in tree.feature[tree.left >= 0]}
    assert {"abroad", "channel", "age"} < used == set(booster.get_score(importance_type="gain"))
    table = booster.trees_to_dataframe()
    assert len(table) == sum(tree.nodes for tree in model.trees)
    assert table[table["Feature"] == "Leaf"]["Gain"].to_numpy() == pytest.approx(
        np.concatenate([tree.value[tree.left < 0] for tree in model.trees]), rel=1e-6
    )


def pandas_rows(model, X):
    """A table as people have it: categories by name, in the schema's order."""
    table = pd.DataFrame(X, columns=list(model.inputs.names))
    codes = table["channel"].fillna(-1).astype(int)
    table["channel"] = pd.Categorical.from_codes(codes, categories=list(LEVELS))
    table["abroad"] = table["abroad"].map({1.0: True, 0.0: False}).astype("boolean")
    return table


@pytest.mark.parametrize("way", [{}, {"approx_contribs": True}])
def test_shapley_values_sum_to_the_margin(model, frame, way):
    X = awkward(model, frame)
    booster = to_booster(model)
    contributions = booster.predict(matrix(model, X), pred_contribs=True, **way)
    assert contributions.shape == (len(X), len(FEATURES) + 1)
    np.testing.assert_allclose(contributions.sum(axis=1), model.margins(X), atol=2e-5)
    # The last one is the expected margin: of the training rows, by their second derivatives.
    assert np.ptp(contributions[:, -1]) < 1e-6
    web = X[:, 4] == LEVELS.index("web")
    assert contributions[web, 4].mean() > 0.5 > 0 > contributions[~web, 4].mean()


def test_interactions_sum_to_the_contributions(model, frame):
    X = features_of(frame, model.inputs)[:200]
    booster = to_booster(model)
    pairs = booster.predict(matrix(model, X), pred_interactions=True)
    single = booster.predict(matrix(model, X), pred_contribs=True)
    np.testing.assert_allclose(pairs.sum(axis=2), single, atol=1e-4)


def on_grid(margins):
    """Margins as the score histograms know them."""
    return np.clip(np.floor((margins + REACH) * CELLS_A_UNIT), -1, 2 * REACH * CELLS_A_UNIT)


def test_early_stopping_keeps_the_trees_with_the_best_validation_ap(frame):
    data = prepare(frame, INPUTS)
    stopped = train(frame, trees=200, early_stopping_rounds=5)
    curve = stopped.evaluation["validation_ap_by_tree"]
    assert len(stopped.trees) == int(np.argmax(curve)) + 1 == len(curve) - 5 < 195
    whole = train(frame, trees=len(curve))
    chosen = data.part == Part.VALIDATION
    margins = np.full(data.rows, whole.base_margin)
    for tree, ap in zip(whole.trees, curve, strict=True):
        margins += tree.margins_of(whole.bins.assign(data.X), whole.bins)
        assert ap == pytest.approx(average_precision_score(data.y[chosen], on_grid(margins[chosen])), abs=1e-12)
    assert [tree.to_dict() for tree in stopped.trees] == [tree.to_dict() for tree in whole.trees[: len(stopped.trees)]]
    test = data.part == Part.TEST
    expected = average_precision_score(data.y[test], on_grid(stopped.margins(data.X[test])))
    assert stopped.evaluation["test_ap"] == pytest.approx(expected, abs=1e-12)
    assert stopped.evaluation["validation_ap"] == max(curve)


@pytest.mark.parametrize("changes", [{}, {"trees": 40, "early_stopping_rounds": 3, "scale_pos_weight": 5.0}])
def test_however_many_banks_the_digest_is_that_of_the_pooled_rows(frame, changes):
    pooled = train(frame, **changes)
    assert {train(frame, banks=banks, **changes).digest() for banks in (3, 5)} == {pooled.digest()}
    assert train(frame.sample(frac=1.0, random_state=3), banks=4, **changes).digest() == pooled.digest()
    assert train(frame.iloc[:-1], **changes).digest() != pooled.digest()


def test_the_digest_survives_bytes_and_changes_with_any_setting(model, frame):
    again = GbdtModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert again.digest() == train(frame).digest() == model.digest()
    np.testing.assert_array_equal(again.margins(features_of(frame, INPUTS)), model.margins(features_of(frame, INPUTS)))
    assert booster_json(again) == booster_json(model)
    changed = [train(frame, **change).digest() for change in ({"reg_lambda": 1.5}, {"max_depth": 3}, {"trees": 11})]
    assert len({model.digest(), *changed}) == 4


@pytest.mark.parametrize(
    "changes", [{"trees": 4}, {"trees": 60, "subsample": 0.5, "colsample_bytree": 0.5, "early_stopping_rounds": 2}]
)
def test_contributions_do_not_depend_on_the_cache(frame, changes):
    """A node that was restarted in the middle of a training goes on where it was."""
    algorithm, data, cache = build(settings(**changes)), prepare(frame, INPUTS), {}
    state, rounds = algorithm.start(), 0
    while (query := algorithm.next_query(state)) is not None:
        warm = to_fixed_point(query, algorithm.contribution(state, query, data, cache))
        np.testing.assert_array_equal(warm, to_fixed_point(query, algorithm.contribution(state, query, data, {})))
        state, rounds = algorithm.apply(state, query, warm * query.resolution), rounds + 1
    assert algorithm.result(state).digest() == train(frame, **changes).digest()
    assert len(state.trees) < 40
    assert rounds <= state.expected


def encrypted(banks, seen):
    """Sums as a consortium takes them: each contribution encrypted, summed, opened by shares of a committee's part."""

    def secure_sum(query, contributions):
        assert query.sum_bits <= 44
        round_id = banks.round(len(seen), query.length)
        messages = banks.contribute(round_id, dict(zip(banks.ids, contributions, strict=True)))
        available = [k for k in range(banks.spec.committee_size) if k != len(seen) % banks.spec.committee_size]
        shares = banks.shares(round_id, banks.ids, banks.assign(available))
        summed = total(round_id, [messages[bank] for bank in banks.ids])
        opened = open_sum(round_id, summed, shares, len(contributions))
        np.testing.assert_array_equal(opened, plain_sum(query, contributions))
        seen.append(query.name)
        return opened

    return secure_sum


def test_with_encryption_the_digest_is_the_same(frame):
    changes = {"trees": 3, "max_depth": 3, "early_stopping_rounds": 2}
    banks, seen = Banks.meet(committee=5, threshold=3), []
    model = train(frame, banks=5, secure_sum=encrypted(banks, seen), **changes)
    assert model.digest() == train(frame, **changes).digest()
    assert seen.count("gbdt.histogram") == 9 + (len(model.evaluation["validation_ap_by_tree"]) - 2)
    assert {"gbdt.count", "gbdt.refine", "gbdt.scores"} <= set(seen)
