"""What is remembered of signed requests by several server processes, with Redis and while it is away."""

from __future__ import annotations

import uuid

import pytest

from consortium.access.replay import ReplayGuard
from consortium.clock import SystemClock
from tests.common.servers import RedisServer

pytestmark = pytest.mark.server


@pytest.fixture
def redis():
    with RedisServer() as server:
        yield server


def test_a_request_is_taken_once_by_all_servers_and_without_redis_once_by_each(redis):
    servers = [ReplayGuard(SystemClock(), redis.url) for _ in range(2)]
    jti = str(uuid.uuid4())
    assert [server.is_new(jti) for server in (*servers, *servers)] == [True, False, False, False]
    redis.kill()
    jti = str(uuid.uuid4())
    assert [server.is_new(jti) for server in (*servers, *servers)] == [True, True, False, False]
    redis.start()
    assert [server.is_new(jti) for server in servers] == [False, False]
    jti = str(uuid.uuid4())
    assert [server.is_new(jti) for server in (*servers, *servers)] == [True, False, False, False]


def test_without_redis_the_process_remembers():
    server, jti = ReplayGuard(SystemClock()), str(uuid.uuid4())
    assert [server.is_new(jti), server.is_new(jti)] == [True, False]
