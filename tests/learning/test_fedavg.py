"""FedAvg and FedProx: equal to plain gradient descent where they must be, averages by rows, bounds, bad banks."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import average_precision_score

from learning.algorithms import build
from learning.driver import run
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.query import from_fixed_point, to_fixed_point
from learning.schema import FeatureSchema, NumericFeature, Split, features_of, prepare


@pytest.fixture(scope="module")
def frame():
    table = load_breast_cancer(as_frame=True).frame
    return table.rename(columns={"target": "fraud"}).iloc[:, [0, 1, 4, 5, 9, -1]]


@pytest.fixture(scope="module")
def inputs(frame):
    return FeatureSchema(features=tuple(NumericFeature(name=name) for name in frame.columns[:-1]), label="fraud")


def banks_of(frame, inputs, sizes=(0.5, 0.3, 0.2)):
    cuts = (np.cumsum(sizes)[:-1] * len(frame)).astype(int)
    starts, ends = [0, *cuts], [*cuts, len(frame)]
    return [prepare(frame.iloc[first:last], inputs) for first, last in zip(starts, ends, strict=True)]


def train(banks, inputs, **settings):
    return run(build(FedAvgSettings(inputs=inputs, **settings)), banks)


def by_hand(Zs, ys, rounds, rate, epochs=1, mu=0.0, C=1.0):
    """FedAvg with whole-batch local steps, written out."""
    n = sum(map(len, ys))
    start = np.zeros(Zs[0].shape[1])
    p = sum(y.sum() for y in ys) / n
    start[-1] = np.log(p / (1 - p))
    common = start
    penalty = np.append(np.full(len(start) - 1, 1 / (C * n)), 0.0)
    for _ in range(rounds):
        average = np.zeros_like(common)
        for Z, y in zip(Zs, ys, strict=True):
            mine = common.copy()
            for _ in range(epochs):
                gradient = Z.T @ (1 / (1 + np.exp(-Z @ mine)) - y) / len(y)
                mine = mine - rate * (gradient + penalty * mine + mu * (mine - common))
            average += len(y) / n * mine
        common = average
    return common


@pytest.mark.parametrize(("epochs", "mu"), [(1, 0.0), (5, 0.0), (5, 0.5)])
def test_whole_batches_equal_the_algorithm_written_out(frame, inputs, epochs, mu):
    banks = banks_of(frame, inputs)
    model = train(
        banks, inputs, rounds=15, batch_size=10_000, learning_rate=0.5, local_epochs=epochs, mu=mu, max_change=1024.0
    )
    columns = [np.column_stack([model.design.matrix(bank.X), np.ones(bank.rows)]) for bank in banks]
    expected = by_hand(columns, [bank.y for bank in banks], 15, 0.5, epochs, mu)
    np.testing.assert_allclose(np.append(model.coefficients, model.intercept), expected, rtol=1e-5)


def test_with_one_whole_step_the_spread_of_rows_does_not_matter(frame, inputs):
    plan = {"rounds": 30, "batch_size": 10_000, "learning_rate": 0.5, "max_change": 1024.0}
    sorted_rows = frame.sort_values("fraud")
    skewed = train(banks_of(sorted_rows, inputs, (0.7, 0.2, 0.1)), inputs, **plan)
    whole = train([prepare(frame, inputs)], inputs, **plan)
    np.testing.assert_allclose(skewed.coefficients, whole.coefficients, rtol=1e-5)


def test_on_evenly_spread_rows_it_comes_near_the_pooled_fit(frame, inputs):
    rows = frame.sample(frac=1.0, random_state=1)
    averaged = train(banks_of(rows, inputs), inputs, rounds=60, batch_size=64, learning_rate=0.3)
    newton = run(build(LogisticSettings(inputs=inputs)), banks_of(rows, inputs))
    ap = [average_precision_score(frame["fraud"], model.predict_proba(frame)) for model in (averaged, newton)]
    assert ap[0] > ap[1] - 0.01
    losses = averaged.evaluation["loss_by_round"]
    assert len(losses) == 60
    assert losses[-1] < losses[0] / 3
    assert losses[-1] >= newton.evaluation["loss_by_round"][-1] - 1e-3


def test_the_proximal_term_holds_banks_with_other_rows_back(frame, inputs):
    """Banks with hardly any row of one class drift far in many epochs: the more so, the smaller mu is."""
    banks = banks_of(frame.sort_values("fraud"), inputs, (0.35, 0.3, 0.35))
    plan = {"rounds": 1, "local_epochs": 30, "batch_size": 64, "learning_rate": 0.1, "max_change": 64.0}
    moved = [np.linalg.norm(train(banks, inputs, mu=mu, **plan).coefficients) for mu in (0.0, 0.5, 5.0)]
    assert moved[0] > 1.5 * moved[1] > 1.5 * 1.5 * moved[2]


def test_moves_are_cut_at_the_public_bound(frame, inputs):
    model = train([prepare(frame, inputs)], inputs, rounds=1, batch_size=10_000, learning_rate=50.0, max_change=0.25)
    assert np.abs(model.coefficients).max() == pytest.approx(0.25, rel=1e-6)


def test_a_bank_without_rows_weighs_nothing_and_one_that_drops_out_is_left_out(frame, inputs):
    banks, empty = banks_of(frame, inputs), prepare(frame.iloc[:0], inputs)
    plan = {"rounds": 3, "learning_rate": 0.2}
    assert train([*banks, empty], inputs, **plan).digest() == train(banks, inputs, **plan).digest()

    algorithm = build(FedAvgSettings(inputs=inputs, **plan))
    state = algorithm.start()
    while (query := algorithm.next_query(state)) is not None:
        there = banks[:2] if query.name == "fedavg.average" else banks  # the third is away while averaging
        total = sum(to_fixed_point(query, algorithm.contribution(state, query, bank, {})) for bank in there)
        state = algorithm.apply(state, query, from_fixed_point(query, total))
    assert np.isfinite(algorithm.result(state).coefficients).all()


def test_every_query_fits_the_sum_and_evaluation_rows_are_not_trained_on(frame):
    inputs = FeatureSchema(
        features=tuple(NumericFeature(name=name) for name in frame.columns[:-1]), label="fraud",
        split=Split(test_share=0.3, seed=5),
    )  # fmt: skip
    data = prepare(frame, inputs)
    bits = []
    plan = FedAvgSettings(inputs=inputs, rounds=2)
    model = run(build(plan), [data], on_round=lambda query, state: bits.append(query.sum_bits))
    assert max(bits) <= 44
    poisoned = prepare(frame, inputs)
    poisoned.X[poisoned.part == 2] *= 1000.0
    other = run(build(plan), [poisoned])
    np.testing.assert_array_equal(other.coefficients, model.coefficients)
    test = frame[data.part == 2]
    own = average_precision_score(test["fraud"], model.margins(features_of(test, inputs)))
    assert model.evaluation["test_ap"] == pytest.approx(own, abs=0.01)


@pytest.mark.parametrize("change", [{"rounds": 0}, {"mu": -1}, {"learning_rate": 0}, {"momentum": 0.9}])
def test_unknown_or_senseless_settings_name_the_field(inputs, change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        FedAvgSettings(inputs=inputs, **change)


def test_settings_say_their_kind(inputs):
    assert pd.Series(FedAvgSettings(inputs=inputs).model_dump())["kind"] == "fedavg"
