"""The service as it is deployed: a server, two Celery workers, Redis, PostgreSQL, each a process; banks over HTTP."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
import pytest

from tests.common.http_service import enrol_with
from tests.common.processes import ServiceProcess, WorkerProcess
from tests.common.servers import PostgresServer, RedisServer
from tests.common.small_bank import SmallBank
from tests.common.tables_learning import SETTINGS, build, expected_model, rows_of

pytestmark = pytest.mark.server


@pytest.fixture
def deployed(tmp_path):
    """Server, two workers, Redis and PostgreSQL."""
    with RedisServer() as redis, PostgresServer() as postgres:
        settings = {"CONSORTIUM_REDIS_URL": redis.url, "CONSORTIUM_DATABASE_URL": postgres.url}
        with (
            ServiceProcess(tmp_path, **settings) as service,
            WorkerProcess(tmp_path, "worker-0", **settings),
            WorkerProcess(tmp_path, "worker-1", **settings),
        ):
            yield service


def live(bank: SmallBank) -> None:
    """A bank's life: the answer to everything it sends is its next work."""
    work = None
    while bank.ended is None:
        work = work or bank.transport.work(wait=10)
        for item in work.items:
            work = bank.perform(item, wait=None if item.do == "end" else 10).work


def train(
    service: ServiceProcess, plan: dict[str, Any], folder: Any, token: str
) -> tuple[dict[str, Any], list[SmallBank]]:
    banks = []
    for number in range(5):
        invited = service.cli("node", "invite", f"bank-{number}", token=token)
        transport = enrol_with(service.url, f"bank-{number}", invited["token"])
        banks.append(SmallBank(transport.node, transport.key, transport, build, rows_of(number)))
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    service.cli("plan", "create", str(path), token=token)
    training = service.cli("training", "start", plan["name"], token=token)["id"]
    threads = [threading.Thread(target=live, args=(bank,), daemon=True) for bank in banks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return service.cli("training", "show", training, token=token), banks


def test_a_training_runs_with_redis_postgresql_and_two_workers(deployed, tmp_path):
    token = deployed.cli("token", "create", "ops", "--role", "admin")["token"]
    plan = {
        "name": "tables",
        "learning": SETTINGS.model_dump(mode="json"),
        "cohort": {"min_banks": 3},
        "deadlines": {"contribution_s": 60, "share_s": 30},
    }
    began = time.monotonic()
    training, banks = train(deployed, plan, tmp_path, token)
    for bank in banks:
        bank.transport.client.close()
    assert training["state"] == "completed", training
    assert {bank.ended.model for bank in banks} == {expected_model(range(5))}
    assert time.monotonic() - began < 100


def test_while_the_database_is_away_everyone_is_told_to_try_again(tmp_path):
    with (
        PostgresServer() as postgres,
        ServiceProcess(tmp_path, CONSORTIUM_DATABASE_URL=postgres.url) as service,
    ):
        token = service.cli("token", "create", "ops", "--role", "admin")["token"]
        asked = {"url": f"{service.url}/v1/nodes", "headers": {"Authorization": f"Bearer {token}"}, "timeout": 30}
        assert httpx.get(**asked).status_code == 200
        postgres.kill()
        refused = httpx.get(**asked)
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
        assert int(refused.headers["Retry-After"]) > 0
        assert postgres.url not in refused.text
        postgres.start()
        assert httpx.get(**asked).status_code == 200
