"""A training with differential privacy over real processes: noise made at the nodes, encrypted sums, budgets kept."""

from __future__ import annotations

import json

import numpy as np
import pytest

from learning.gbdt_model import GbdtModel
from learning.schema import FeatureSchema, Part, prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows

pytestmark = pytest.mark.server

COLUMNS = 4
INPUTS = schema_of(COLUMNS)
for feature in INPUTS["features"]:
    feature |= {"low": -3.0, "high": 3.0}
LEARNING = {
    "kind": "random_gbdt", "inputs": INPUTS, "trees": 40, "trees_a_round": 20, "learning_rate": 1.0,
    "privacy": {"epsilon": 3.0, "noise_banks": 3},
}  # fmt: skip
POLICY = "require_privacy = true\n[privacy]\nepsilon = 4.0\ndelta = 1e-6\n"


@pytest.fixture(scope="module")
def tables():
    return [simulated_rows(number, 2000, COLUMNS) for number in range(5)]


@pytest.fixture(scope="module")
def consortium(tmp_path_factory, tables):
    with ConsortiumOfNodes(tmp_path_factory.mktemp("private"), tables, policy=POLICY) as running:
        yield running


def test_banks_train_once_within_their_budget_and_refuse_the_second_time(consortium, tables):
    cohort = {"min_banks": 4}
    training = consortium.start_training({"name": "private", "learning": LEARNING, "cohort": cohort})
    view = consortium.finish(training)

    for node in consortium.nodes:
        (held,) = [model for model in node.models() if model["training"] == training]
        assert held["digest"] == view["model"]
        (entry,) = json.loads((node.home / "ledger.json").read_text())["entries"]
        assert (entry["purpose"], entry["rounds"]) == (training, 1)
    content = (consortium.nodes[0].home / "models" / view["model"] / "model.bin").read_bytes()
    model = GbdtModel.from_bytes(content)
    assert 2.98 < model.privacy["epsilon"] <= 3.0001
    assert model.privacy["noise_multiplier"] == pytest.approx(entry["noise_multiplier"])
    assert better_than_chance(model, tables)
    card = consortium.service.cli("model", "card", "private", token=consortium.token)
    assert card["privacy"] == model.privacy

    again = consortium.start_training({"name": "again", "learning": LEARNING, "cohort": cohort})
    view = consortium.until(again, "failed")
    assert "at most epsilon 4 in all" in str(view)
    assert len(json.loads((consortium.nodes[0].home / "ledger.json").read_text())["entries"]) == 1


def better_than_chance(model, tables):
    """Whether frauds of the test rows have clearly higher scores: with noise of epsilon 3 on 8000 rows."""
    data = [prepare(table, FeatureSchema.model_validate(INPUTS)) for table in tables]
    X, y = (np.concatenate([getattr(part, name)[part.part == Part.TEST] for part in data]) for name in ("X", "y"))
    scores = model.margins(X)
    return (scores[y == 1][:, None] > scores[y == 0][None, :]).mean() > 0.65


def test_a_plan_without_noise_is_refused_where_noise_is_required(consortium):
    training = consortium.start_training({"name": "plain", "learning": {**LEARNING, "privacy": None}})
    assert "plan with privacy noise" in str(consortium.until(training, "failed"))
