"""The blob store fails in the middle of a training: no bank is left out for what the service could not take."""

from __future__ import annotations

import time

import pytest

from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.faults.test_away_and_back import digest_in_process, events, plan, tables

pytestmark = pytest.mark.server


@pytest.mark.parametrize("workers", [0, 2])
def test_a_store_that_takes_nothing_for_a_while_costs_no_bank_its_part(tmp_path, workers):
    rows, wanted = tables(), plan(30)
    settings = {"CONSORTIUM_INLINE_BYTES": "0", "CONSORTIUM_RECONCILE_S": "0.5"}
    with ConsortiumOfNodes(tmp_path, rows, workers=workers, **settings) as consortium:
        training = consortium.start_training(wanted)
        consortium.wait_for(training, lambda view: view["rounds_done"] > 5)
        (incoming,) = tmp_path.rglob(".incoming")
        aside = incoming.rename(incoming.with_name(".aside"))
        consortium.wait_for(training, lambda view: any(event["kind"] == "no_room" for event in view["events"]))
        done = consortium.show(training)["rounds_done"]
        time.sleep(4)  # a deadline and more
        assert consortium.show(training)["rounds_done"] == done
        assert consortium.show(training)["state"] == "running"
        aside.rename(incoming)
        ended = consortium.finish(training)
        assert ended["model"] == digest_in_process(wanted["learning"], rows)
        assert {one["contributors"] for one in consortium.rounds(training)} == {5}
        assert len(events(consortium, training, "no_room")) == 1
