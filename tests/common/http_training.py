"""A whole small training of five banks over real HTTP: banks poll, answer, and are answered with their next work."""

from __future__ import annotations

import threading
from typing import Any

from consortium.members.service import active_nodes
from consortium.runtime import Runtime
from consortium.trainings.service import Invitee, start_training
from consortium.trainings.tables import Training
from protocol.plan import Cohort, Deadlines, Plan, Protection, ProtectionLevel
from tests.common.http_service import HttpTransport, enrol_bank
from tests.common.small_bank import SmallBank
from tests.common.tables_learning import SETTINGS, build, rows_of


def small_plan(level: str, name: str = "tables") -> Plan:
    """Entity tables, for three banks or more."""
    return Plan(
        name=name, learning=SETTINGS.model_dump(mode="json"), cohort=Cohort(min_banks=3),
        protection=Protection(level=ProtectionLevel(level)), deadlines=Deadlines(contribution_s=30, share_s=20),
    )  # fmt: skip


def enrol_small_banks(runtime: Runtime, url: str, count: int = 5) -> list[SmallBank]:
    """Enrolled banks, each with its own rows."""
    banks = []
    for number in range(count):
        transport: HttpTransport = enrol_bank(runtime, url, f"bank-{number}")
        banks.append(SmallBank(transport.node, transport.key, transport, build, rows_of(number)))
    return banks


def start(runtime: Runtime, plan: Plan) -> str:
    """Starts a training with every enrolled bank; its id."""
    with runtime.act("test.start") as (s, effects, now):
        nodes = [Invitee(row.id, row.name, row.signing_key) for row in active_nodes(s)]
        identifier: str = start_training(s, plan, nodes, effects, by="test", now=now).id
    return identifier


def live(bank: SmallBank) -> None:
    """A bank's life: the answer to everything it sends is its next work."""
    work = None
    while bank.ended is None:
        if work is None or not work.items:
            work = bank.transport.work(wait=5)  # type: ignore[attr-defined]  # over HTTP it has one
        for item in work.items:
            work = bank.perform(item, wait=None if item.do == "end" else 5).work


def finish(banks: list[SmallBank], timeout_s: float = 60.0) -> None:
    """Lets the banks live until the training has ended."""
    threads = [threading.Thread(target=live, args=(bank,), daemon=True) for bank in banks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)


def run_training(runtime: Any, url: str, level: str) -> tuple[Training, list[SmallBank]]:
    """A training from enrolment to its end."""
    banks = enrol_small_banks(runtime, url)
    training = start(runtime, small_plan(level))
    finish(banks)
    with runtime.db.reading("test") as s:
        return s.get_one(Training, training), banks
