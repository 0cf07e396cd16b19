"""Whole trainings with real processes over loopback HTTP: a service with its embedded worker and five banks' nodes."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.gbdt_model import GbdtModel
from learning.schema import FeatureSchema, prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import NODE, schema_of, simulated_rows
from tests.common.processes import clean_environment

pytestmark = pytest.mark.server

COLUMNS = 8
LOGISTIC = {"kind": "logistic", "inputs": schema_of(COLUMNS)}
GBDT = {"kind": "gbdt", "inputs": schema_of(COLUMNS), "trees": 4, "max_depth": 4, "max_bin": 32}


@pytest.fixture(scope="module")
def tables():
    return [simulated_rows(number, 1500, COLUMNS) for number in range(5)]


@pytest.fixture(scope="module")
def consortium(tmp_path_factory, tables):
    folder = tmp_path_factory.mktemp("consortium")
    with ConsortiumOfNodes(folder, tables, policy="allow_unprotected = true\n") as running:
        yield running


def model_in_process(learning, tables):
    """What the same algorithm derives from the same rows without any service."""
    schema = FeatureSchema.model_validate(learning["inputs"])
    settings = TypeAdapter(LearningSettings).validate_python(learning)
    return run(build(settings), [prepare(table, schema) for table in tables])


def train(consortium, name, learning, **parts):
    training = consortium.start_training({"name": name, "learning": learning, **parts})
    return training, consortium.finish(training)


@pytest.mark.parametrize(
    ("name", "learning", "level"),
    [
        ("logistic-ckks", LOGISTIC, "ckks"),
        ("gbdt-ckks", GBDT, "ckks"),
        ("gbdt-open", GBDT, "none"),
    ],
)
def test_every_bank_holds_the_model_of_the_pooled_computation(consortium, tables, name, learning, level):
    training, view = train(consortium, name, learning, protection={"level": level})

    expected = model_in_process(learning, tables).digest().hex()
    assert view["model"] == expected
    for node in consortium.nodes:
        (held,) = [model for model in node.models() if model["training"] == training]
        assert (held["digest"], held["protection"], held["current"]) == (expected, level, True)
        folder = node.home / "trainings" / training
        assert list(folder.rglob("*.sealed")) == []  # the training's keys are destroyed
        assert list(folder.rglob("*.contribution")) == []


def test_what_has_drifted_stands_on_the_card(consortium, tables):
    learning = {"kind": "drift", "inputs": schema_of(COLUMNS), "bins": 8}
    _, view = train(consortium, "drift", learning)
    report = model_in_process(learning, tables)
    assert view["model"] == report.digest().hex()
    card = consortium.service.cli("model", "card", "drift", token=consortium.token)
    indexes = {one["feature"]: one["index"] for one in card["drift"]}
    assert indexes == {feature.feature: feature.index for feature in report.features}
    assert next(iter(indexes)) == report.worst().feature
    volumes = card["volumes"]
    assert (volumes["reference_rows"], volumes["current_frauds"]) == (report.rows[0], report.frauds[1])


def test_a_node_scores_new_transactions_as_the_model_does(consortium, tables, tmp_path):
    train(consortium, "gbdt-score", GBDT)
    rows = simulated_rows(99, 200, COLUMNS).drop(columns="fraud")
    rows.to_parquet(tmp_path / "new.parquet")
    done = subprocess.run(
        [*NODE, "score", str(tmp_path / "new.parquet"), "--model", "gbdt-score", "--out", str(tmp_path / "scores.csv"),
         "--json", "--home", str(consortium.nodes[0].home)],
        env=clean_environment(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["rows"] == 200
    scores = pd.read_csv(tmp_path / "scores.csv")["fraud_probability"].to_numpy()
    model = model_in_process(GBDT, tables)
    assert isinstance(model, GbdtModel)
    np.testing.assert_allclose(scores, model.predict_proba(rows), rtol=1e-6)


def test_a_plan_without_encryption_is_refused_where_the_bank_has_not_allowed_it(consortium):
    for node in consortium.nodes[:3]:
        (node.home / "policy.toml").write_text("")
        node.stop()
        node.start()
    try:
        training = consortium.start_training(
            {"name": "open-again", "learning": LOGISTIC, "protection": {"level": "none"}}
        )
        view = consortium.wait_for(training, lambda seen: seen["state"] == "failed")
        refused = {bank["name"]: bank["refusal"] for bank in view["banks"] if bank["answer"] == "refused"}
        assert set(refused) == {"bank-0", "bank-1", "bank-2"}
        assert all("allow_unprotected" in reason for reason in refused.values())
    finally:
        for node in consortium.nodes[:3]:
            (node.home / "policy.toml").write_text("allow_unprotected = true\n")
            node.stop()
            node.start()
