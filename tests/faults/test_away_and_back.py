"""Banks that go away in the middle of a training, for good or for a while."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.schema import FeatureSchema, prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows

pytestmark = pytest.mark.server

COLUMNS = 4


def tables():
    return [simulated_rows(number, 500, COLUMNS) for number in range(5)]


def plan(trees, **parts):
    learning = {"kind": "gbdt", "inputs": schema_of(COLUMNS), "trees": trees, "max_depth": 3, "max_bin": 16}
    return {"name": "trees", "learning": learning, "deadlines": {"contribution_s": 3, "share_s": 3}} | parts


def digest_in_process(learning, rows):
    schema = FeatureSchema.model_validate(learning["inputs"])
    settings = TypeAdapter(LearningSettings).validate_python(learning)
    return run(build(settings), [prepare(table, schema) for table in rows]).digest().hex()


def events(consortium, training, kind):
    return [event for event in consortium.show(training)["events"] if event["kind"] == kind]


def test_four_of_five_goes_on_without_one_bank_which_costs_one_deadline(tmp_path):
    with ConsortiumOfNodes(tmp_path, tables()) as consortium:
        training = consortium.start_training(plan(40))
        consortium.wait_for(training, lambda view: view["rounds_done"] > 5)
        consortium.nodes[4].kill()
        ended = consortium.finish(training)
        assert sum(bank["confirmed"] for bank in ended["banks"]) == 4
        # One deadline passed for it while it was counted on; afterwards nobody waited for it.
        away = [event for event in ended["events"] if event["kind"] == "away"]
        assert len([event for event in away if event["node"] == ended["banks"][4]["node"]]) <= 1
        assert sum(bank["away_since"] is not None for bank in ended["banks"]) == 1
        waited = [one for one in consortium.rounds(training) if one["seconds"]["collecting"] > 2.5]
        shares_waited = [one for one in consortium.rounds(training) if one["seconds"].get("decrypting", 0) > 2.5]
        assert len(waited) + len(shares_waited) <= 2


def test_below_quorum_it_pauses_with_a_reason_and_resumes_when_banks_return(tmp_path):
    rows, wanted = tables(), plan(40, cohort={"min_banks": 4})
    with ConsortiumOfNodes(tmp_path, rows) as consortium:
        training = consortium.start_training(wanted)
        consortium.wait_for(training, lambda view: view["rounds_done"] > 5)
        for node in consortium.nodes[3:]:
            node.kill()
        paused = consortium.until(training, "paused")
        assert "4" in paused["reason"]
        assert paused["reason"]
        before = paused["rounds_done"]
        for node in consortium.nodes[3:]:
            node.start()
        ended = consortium.finish(training)
        assert ended["rounds_done"] > before
        held = {model["digest"] for node in consortium.nodes for model in node.models()}
        assert held == {ended["model"]}


def test_a_node_that_was_away_catches_up_from_the_stored_aggregates(tmp_path):
    with ConsortiumOfNodes(tmp_path, tables()) as consortium:
        training = consortium.start_training(plan(150))
        consortium.wait_for(training, lambda view: view["rounds_done"] > 5)
        consortium.nodes[2].kill()
        gone_at = consortium.wait_for(
            training, lambda view: any(bank["away_since"] is not None for bank in view["banks"])
        )["rounds_done"]
        consortium.wait_for(training, lambda view: view["rounds_done"] > gone_at + 20)
        consortium.nodes[2].start()
        ended = consortium.finish(training)
        assert all(bank["confirmed"] for bank in ended["banks"])
        assert {model["digest"] for node in consortium.nodes for model in node.models()} == {ended["model"]}
        counted = [one["contributors"] for one in consortium.rounds(training)]
        assert counted[0] == 5
        assert 4 in counted
        assert counted[-1] == 5  # it was counted on again before the end
