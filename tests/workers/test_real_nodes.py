"""The product as it is deployed: the service, its workers and the banks' own nodes, each a process, under ckks."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.schema import FeatureSchema, prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows

pytestmark = pytest.mark.server

GBDT: dict[str, Any] = {"kind": "gbdt", "inputs": schema_of(6), "trees": 3, "max_depth": 3, "max_bin": 16}
LOGISTIC: dict[str, Any] = {"kind": "logistic", "inputs": schema_of(6)}


def in_process(learning: dict[str, Any], tables: list[Any]) -> str:
    """The digest of the model that the in-process driver derives from the same rows, in the clear."""
    settings: Any = TypeAdapter(LearningSettings).validate_python(learning)
    schema = FeatureSchema.model_validate(learning["inputs"])
    return run(build(settings), [prepare(table, schema) for table in tables]).digest().hex()


@pytest.mark.parametrize("workers", [0, 2])
def test_gbdt_and_logistic_end_in_the_same_model_at_every_bank(tmp_path, workers):
    tables = [simulated_rows(number, 1000, 6) for number in range(5)]
    with ConsortiumOfNodes(tmp_path, tables, workers=workers) as consortium:
        for name, learning in (("trees", GBDT), ("lines", LOGISTIC)):
            training = consortium.start_training({"name": name, "learning": learning})
            ended = consortium.until(training, "completed", "failed")
            assert ended["state"] == "completed", ended["reason"]
            assert all(bank["confirmed"] for bank in ended["banks"])
            digests = {model["digest"] for node in consortium.nodes for model in node.models() if model["name"] == name}
            assert digests == {ended["model"]} == {in_process(learning, tables)}


def test_three_of_five_with_agreement_goes_on_without_two_banks(tmp_path):
    tables = [simulated_rows(number, 600, 4) for number in range(5)]
    plan = {
        "name": "trees",
        "learning": {"kind": "gbdt", "inputs": schema_of(4), "trees": 12, "max_depth": 3, "max_bin": 16},
        "protection": {"threshold": 3, "agreement": True, "colluders": 0},
        "deadlines": {"contribution_s": 4, "share_s": 4},
    }
    with ConsortiumOfNodes(tmp_path, tables) as consortium:
        training = consortium.start_training(plan)
        consortium.until(training, "running")
        for node in consortium.nodes[3:]:
            node.kill()
        ended = consortium.until(training, "completed", "failed")
        assert ended["state"] == "completed", ended["reason"]
        assert sum(bank["confirmed"] for bank in ended["banks"]) == 3
