"""A training over real HTTP with the embedded workers: banks poll, answer, and are answered with their next work."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from consortium.members.service import active_nodes
from consortium.trainings.service import Invitee, start_training
from consortium.trainings.tables import Training
from protocol.plan import Cohort, Deadlines, Plan, Protection, ProtectionLevel
from protocol.states import TrainingState
from tests.common.http_service import enrol_bank, served
from tests.common.small_bank import SmallBank
from tests.common.tables_learning import SETTINGS, build, expected_model, rows_of


def live(bank: SmallBank) -> None:
    """A bank's life: the answer to everything it sends is its next work."""
    work = None
    while bank.ended is None:
        work = work or bank.transport.work(wait=5)
        for item in work.items:
            work = bank.perform(item, wait=None if item.do == "end" else 5).work


def run_training(runtime: Any, url: str, level: str) -> tuple[Training, list[SmallBank]]:
    banks = []
    for number in range(5):
        transport = enrol_bank(runtime, url, f"bank-{number}")
        banks.append(SmallBank(transport.node, transport.key, transport, build, rows_of(number)))
    plan = Plan(
        name="tables", learning=SETTINGS.model_dump(mode="json"), cohort=Cohort(min_banks=3),
        protection=Protection(level=ProtectionLevel(level)), deadlines=Deadlines(contribution_s=30, share_s=20),
    )  # fmt: skip
    with runtime.act("test.start") as (s, effects, now):
        nodes = [Invitee(row.id, row.name, row.signing_key) for row in active_nodes(s)]
        training = start_training(s, plan, nodes, effects, by="test", now=now).id
    threads = [threading.Thread(target=live, args=(bank,), daemon=True) for bank in banks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with runtime.db.reading("test") as s:
        return s.get_one(Training, training), banks


@pytest.mark.parametrize("level", ["none", "ckks"])
def test_a_training_runs_over_http_with_the_embedded_workers(tmp_path, level):
    with served(tmp_path, build) as (runtime, url):
        began = time.monotonic()
        training, banks = run_training(runtime, url, level)
        took = time.monotonic() - began
        for bank in banks:
            bank.transport.client.close()
    assert training.status is TrainingState.COMPLETED, training.reason
    assert training.model_digest == expected_model(range(5))
    assert {bank.ended.model for bank in banks} == {training.model_digest}
    assert took < 10
