"""A serving process that starts while the database is away, since the one before it was killed, starts all the same."""

from __future__ import annotations

import time

import httpx
import psutil
import pytest

from tests.common.processes import ServiceProcess
from tests.common.servers import PostgresServer

pytestmark = pytest.mark.server


def status_of(url, token):
    try:
        return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code
    except httpx.TransportError:
        return None


def until_status(wanted, url, token):
    ends = time.monotonic() + 30
    while (got := status_of(url, token)) != wanted:
        assert time.monotonic() < ends, f"{url}: expected {wanted}, got {got}"
        time.sleep(0.1)


def test_a_serving_process_that_is_killed_while_the_database_is_away_is_replaced(tmp_path):
    database = PostgresServer()
    database.start()
    service = ServiceProcess(tmp_path, CONSORTIUM_DATABASE_URL=database.url)
    try:
        service.start()
        token = service.cli("token", "create", "ops", "--role", "admin")["token"]
        until_status(200, f"{service.url}/v1/nodes", token)
        database.kill()
        (serving,) = psutil.Process(service.process.pid).children()
        serving.kill()
        serving.wait(15)
        until_status(200, f"{service.url}/health", token)
        until_status(503, f"{service.url}/v1/nodes", token)
        database.start()
        until_status(200, f"{service.url}/v1/nodes", token)
    finally:
        service.stop()
        database.stop()
