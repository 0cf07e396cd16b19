"""A plan is removed only while no training was started of it, also where both happen at once."""

from __future__ import annotations

import threading
import uuid

import pytest

from consortium.plans.errors import PlanMissing, PlanTrained
from consortium.plans.service import create_plan, find_plan, remove_plan
from consortium.trainings.service import Invitee, start_training
from protocol.plan import Plan
from tests.common.direct_service import DirectService
from tests.common.servers import empty_database
from tests.common.tables_learning import SETTINGS, build

pytestmark = pytest.mark.server

PLAN = Plan(name="tables", learning=SETTINGS.model_dump(mode="json"))
BANKS = [Invitee(str(uuid.uuid4()), f"bank-{i}", "00" * 32) for i in range(3)]


@pytest.fixture(params=["sqlite", "postgresql"])
def runtime(request, tmp_path):
    with empty_database(request.param, tmp_path) as url:
        service = DirectService(tmp_path, build, database_url=url)
        with service.runtime.act("test") as (s, _, now):
            create_plan(s, PLAN, by="test", now=now)
        yield service.runtime
        service.runtime.db.close()


def test_a_removed_plan_frees_its_name(runtime):
    with runtime.act("test") as (s, _, _now):
        remove_plan(s, PLAN.name)
    other = PLAN.model_copy(update={"description": "other"})
    with runtime.act("test") as (s, _, now):
        create_plan(s, other, by="test", now=now)
    with runtime.db.reading("test") as s:
        assert find_plan(s, PLAN.name) == other


def test_a_removal_waits_for_a_start_that_is_under_way_and_is_refused(runtime):
    refused = []

    def remove():
        with pytest.raises(PlanTrained) as caught, runtime.act("test.remove") as (s, _, _now):
            remove_plan(s, PLAN.name)
        refused.append(caught.value)

    other = threading.Thread(target=remove)
    with runtime.act("test.start") as (s, effects, now):
        plan = find_plan(s, PLAN.name, to_train=True)
        other.start()
        other.join(0.5)  # it finds the plan taken
        training = start_training(s, plan, BANKS, effects, by="test", now=now).id
        s.flush()
        assert not refused
    other.join(20)
    assert training in str(refused[0])
    with runtime.db.reading("test") as s:
        assert find_plan(s, PLAN.name) == PLAN


def test_there_is_nothing_to_remove_twice(runtime):
    with runtime.act("test") as (s, _, _now):
        remove_plan(s, PLAN.name)
    with pytest.raises(PlanMissing), runtime.act("test") as (s, _, _now):
        remove_plan(s, PLAN.name)
