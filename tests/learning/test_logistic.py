"""Logistic regression over secure sums against scikit-learn's pooled fit; bounds, line search, formats, bad data."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression as Sklearn
from sklearn.preprocessing import StandardScaler

from learning.algorithms import build
from learning.driver import run
from learning.errors import AggregateImplausible, DataRejected, DidNotConverge
from learning.logistic_model import LogisticModel
from learning.logistic_settings import LogisticSettings
from learning.query import to_fixed_point
from learning.schema import CategoricalFeature, FeatureSchema, NumericFeature, Split, features_of, prepare


def schema_of(frame, **more):
    features = []
    for name in frame.columns:
        if name in {"fraud", "weight"}:
            continue
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            features.append(CategoricalFeature(name=name, levels=tuple(map(str, frame[name].cat.categories))))
        else:
            features.append(NumericFeature(name=name))
    return FeatureSchema(features=tuple(features), label="fraud", **more)


def train(frame, inputs=None, banks=4, seed=0, **settings):
    inputs = inputs or schema_of(frame)
    bank = np.random.default_rng(seed).integers(0, banks, len(frame))
    data = [prepare(frame[bank == number], inputs) for number in range(banks)]
    return run(build(LogisticSettings(inputs=inputs, **settings)), data)


def sklearn_fit(Z, y, C=1.0, weight=None, **more):
    return Sklearn(C=C, solver="newton-cholesky", tol=1e-11, max_iter=500, **more).fit(Z, y, sample_weight=weight)


def relative(got, expected):
    return np.max(np.abs(got - expected) / np.abs(expected))


def medical():
    table = load_breast_cancer(as_frame=True).frame
    return table.rename(columns={"target": "fraud"})


def payments(n=5000, seed=1):
    """Heavy tails, a large offset, counts, rare fraud."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": np.exp(rng.normal(3, 2, n)),
            "balance": 1e6 + rng.normal(0, 30, n),
            "count": rng.poisson(0.02, n).astype(float),
            "age": rng.integers(18, 90, n).astype(float),
        }
    )
    margin = -5 + 0.5 * np.log(frame["amount"]) + 0.02 * (frame["balance"] - 1e6) + 2 * frame["count"]
    frame["fraud"] = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(int)
    return frame


@pytest.mark.parametrize("make", [medical, payments])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_coefficients_equal_scikit_learns_pooled_fit(make, C):
    frame = make()
    model = train(frame, C=C)
    Z = StandardScaler().fit_transform(features_of(frame, schema_of(frame)).astype(np.float64))
    oracle = sklearn_fit(Z, frame["fraud"], C)
    assert relative(model.coefficients, oracle.coef_[0]) < 1e-5
    assert abs(model.intercept - oracle.intercept_[0]) < 1e-5 * abs(oracle.intercept_[0])
    np.testing.assert_allclose(model.predict_proba(frame), oracle.predict_proba(Z)[:, 1], atol=1e-6)
    assert model.evaluation["fitting_rounds"] <= 15


@pytest.mark.parametrize("banks", [1, 3, 11])
def test_the_split_over_banks_does_not_matter(banks):
    frame = payments()
    one, other = train(frame, banks=2), train(frame, banks=banks, seed=banks)
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-6)


def test_missing_values_and_categories_equal_scikit_learn_on_the_same_columns():
    rng = np.random.default_rng(4)
    frame = payments()
    frame["channel"] = pd.Categorical(rng.choice(["web", "shop", "phone"], len(frame)))
    frame.loc[rng.random(len(frame)) < 0.2, "age"] = np.nan
    frame.loc[rng.random(len(frame)) < 0.1, "channel"] = np.nan
    frame["fraud"] |= ((frame["channel"] == "web") & (rng.random(len(frame)) < 0.05)).astype(int)
    model = train(frame)
    assert model.design.columns == (
        "amount", "balance", "count", "age", "age is missing", "channel=shop", "channel=web", "channel is missing",
    )  # fmt: skip
    plain = StandardScaler().fit_transform(features_of(frame, schema_of(frame))[:, :4].astype(np.float64))
    Z = np.column_stack(
        [
            np.nan_to_num(plain), frame["age"].isna(), frame["channel"] == "shop", frame["channel"] == "web",
            frame["channel"].isna(),
        ]
    ).astype(np.float64)  # fmt: skip
    oracle = sklearn_fit(Z, frame["fraud"])
    assert relative(model.coefficients, oracle.coef_[0]) < 1e-4
    X = features_of(frame, schema_of(frame))
    np.testing.assert_allclose(
        model.to_pipeline().predict_proba(X)[:, 1], model.predict_proba(frame), atol=1e-12, rtol=0
    )


def test_class_and_row_weights_equal_scikit_learns():
    frame = payments()
    Z = StandardScaler().fit_transform(features_of(frame, schema_of(frame)).astype(np.float64))
    weighted = train(frame, scale_pos_weight=20.0)
    oracle = sklearn_fit(Z, frame["fraud"], weight=np.where(frame["fraud"] == 1, 20.0, 1.0))
    assert relative(weighted.coefficients, oracle.coef_[0]) < 1e-5

    frame["weight"] = np.random.default_rng(2).gamma(1.0, 1.0, len(frame)).astype(np.float32) + 0.01
    by_row = train(frame, schema_of(frame, weight="weight"))
    oracle = sklearn_fit(Z, frame["fraud"], weight=frame["weight"])
    assert relative(by_row.coefficients, oracle.coef_[0]) < 1e-4


def test_without_an_intercept():
    frame = medical()
    model = train(frame, fit_intercept=False)
    Z = StandardScaler().fit_transform(features_of(frame, schema_of(frame)).astype(np.float64))
    assert relative(model.coefficients, sklearn_fit(Z, frame["fraud"], fit_intercept=False).coef_[0]) < 1e-5
    assert model.intercept == 0.0


def test_separable_rows_have_a_solution_because_of_the_penalty():
    x = np.linspace(-3, 3, 400)
    frame = pd.DataFrame({"x": x, "fraud": (x > 2).astype(int)})
    model = train(frame, C=1000.0)
    oracle = sklearn_fit(
        StandardScaler().fit_transform(frame[["x"]].astype(np.float32).astype(float)), frame["fraud"], 1000.0
    )
    assert relative(model.coefficients, oracle.coef_[0]) < 1e-4


def test_one_extreme_value_stays_within_the_bounds():
    """All of a column's length in one row, the worst case of the bounds: no contribution may be refused."""
    frame = payments()
    frame.loc[7, "amount"] = 1e12
    model = train(frame)
    assert np.isfinite(model.coefficients).all()
    Z = StandardScaler().fit_transform(features_of(frame, schema_of(frame)).astype(np.float64))
    # The scaled rest of the column is 1e-8 of the extreme value; its moments are rounded at about 1e-5.
    assert np.abs(model.coefficients - sklearn_fit(Z, frame["fraud"]).coef_[0]).max() < 1e-4


def test_rounds_and_bits_of_every_query():
    frame = medical()
    inputs = schema_of(frame)
    names = []

    def seen(query, state):
        names.append(query.name)
        assert query.sum_bits <= 44

    run(build(LogisticSettings(inputs=inputs)), [prepare(frame, inputs)], on_round=seen)
    assert names[:2] == ["logistic.count", "logistic.moments"]
    assert names[-1] == "logistic.scores"
    assert names.count("logistic.newton") <= 12


def test_contributions_do_not_depend_on_the_cache():
    frame = medical()
    inputs = schema_of(frame)
    algorithm, data, cache = build(LogisticSettings(inputs=inputs)), prepare(frame, inputs), {}
    state = algorithm.start()
    while (query := algorithm.next_query(state)) is not None:
        warm = to_fixed_point(query, algorithm.contribution(state, query, data, cache))
        np.testing.assert_array_equal(warm, to_fixed_point(query, algorithm.contribution(state, query, data, {})))
        state = algorithm.apply(state, query, warm * query.resolution)
    assert algorithm.result(state).digest() == run(algorithm, [data]).digest()


def test_the_document_round_trips_and_says_everything():
    frame = payments()
    model = train(frame, schema_of(frame, split=Split(validation_share=0.2, test_share=0.2)))
    again = LogisticModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert again.digest() == model.digest()
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    document = json.loads(model.to_bytes())
    assert document["columns"] == ["amount", "balance", "count", "age"]
    assert {"test_ap", "test_auc", "validation_ap", "fitting_rounds"} <= set(document["evaluation"])
    for bad in (b"", b"{}", b"[]", model.to_bytes()[:-3], model.to_bytes().replace(b'"logistic"', b'"gbdt"')):
        with pytest.raises(DataRejected):
            LogisticModel.from_bytes(bad)


def test_the_pipeline_is_scikit_learns_own_and_can_be_pickled():
    frame = payments()
    model = train(frame)
    X = features_of(frame, model.inputs)
    pipeline = pickle.loads(pickle.dumps(model.to_pipeline()))
    assert [type(step).__name__ for step in pipeline] == ["StandardScaler", "LogisticRegression"]
    np.testing.assert_allclose(pipeline.predict_proba(X.astype(float))[:, 1], model.predict_proba(frame), atol=1e-12)


def test_unhelpful_columns_and_banks_are_trained_through():
    frame = payments()
    plain = train(frame)
    padded = frame.assign(constant=5.0, nothing=np.nan, twin=frame["age"])
    model = train(padded)
    by_name = dict(zip(model.design.columns, model.coefficients, strict=True))
    assert by_name["constant"] == pytest.approx(0.0, abs=1e-6)
    assert by_name["nothing"] == 0.0
    assert by_name["age"] == pytest.approx(by_name["twin"], rel=1e-4)
    np.testing.assert_allclose(model.predict_proba(padded), plain.predict_proba(frame), atol=2e-3)

    inputs = schema_of(frame)
    clean = frame[frame["fraud"] == 0]
    data = [prepare(part, inputs) for part in (frame, clean.iloc[:50], frame.iloc[:0])]
    assert np.isfinite(run(build(LogisticSettings(inputs=inputs)), data).coefficients).all()


def test_one_class_only_is_refused_and_too_few_rounds_are_said():
    frame = payments()
    with pytest.raises(AggregateImplausible, match="both classes"):
        train(frame.assign(fraud=0))
    with pytest.raises(DidNotConverge, match="within 2 rounds") as error:
        train(frame, max_rounds=2)
    assert error.value.rounds == 2


@pytest.mark.parametrize("change", [{"C": 0}, {"tol": 1.0}, {"max_rounds": 0}, {"penalty": "l1"}, {"C": float("nan")}])
def test_unknown_or_senseless_settings_name_the_field(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        LogisticSettings(inputs=schema_of(payments()), **change)
