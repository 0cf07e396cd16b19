"""The estimate of a plan's rounds and numbers against trainings that were run."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.estimate import estimate
from learning.schema import FeatureSchema, prepare
from tests.common.nodes import schema_of, simulated_rows
from tests.common.tables_learning import SETTINGS, rows_of

COLUMNS = 6
PLANS = {
    "gbdt": {"trees": 5, "max_depth": 4, "max_bin": 32},
    "random_gbdt": {"trees": 20, "trees_a_round": 5, "edges": "sketched"},
    "logistic": {},
    "fedavg": {"rounds": 4},
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_training_takes_no_more_than_was_estimated_and_not_much_less(kind):
    learning = {"kind": kind, "inputs": schema_of(COLUMNS), **PLANS[kind]}
    settings = TypeAdapter(LearningSettings).validate_python(learning)
    schema = FeatureSchema.model_validate(schema_of(COLUMNS))
    algorithm, lengths = build(settings), []
    first = algorithm.next_query(algorithm.start())
    run(
        algorithm, [prepare(simulated_rows(bank, 2000, COLUMNS), schema) for bank in range(2)],
        on_round=lambda query, _: lengths.append(query.length),
    )  # fmt: skip
    expected = estimate(settings, first)
    assert len(lengths) <= expected.rounds <= 2 * len(lengths)
    assert sum(lengths) <= expected.values <= 3 * sum(lengths)


def test_tables_take_exactly_what_was_estimated():
    algorithm, lengths = build(SETTINGS), []
    run(algorithm, [rows_of(0)], on_round=lambda query, _: lengths.append(query.length))
    expected = estimate(SETTINGS, algorithm.next_query(algorithm.start()))
    assert (expected.rounds, expected.values) == (len(lengths), sum(lengths))
