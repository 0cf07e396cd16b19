"""A thread that stays with its connection: requests that follow at once, come together, or come from many who idle."""

from __future__ import annotations

import socket

import pytest

from tests.common.processes import ServiceProcess

pytestmark = pytest.mark.server
REQUEST = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = ServiceProcess(tmp_path_factory.mktemp("service"), CONSORTIUM_THREADS="4")
    made.start()
    yield made
    made.stop()


def connect(service: ServiceProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def answers(connection: socket.socket, count: int) -> int:
    """Reads so many answers to `REQUEST`; how many came."""
    data = b""
    while data.count(b'{"status":"ok"}') < count:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data.count(b"HTTP/1.1 200")


def test_requests_that_follow_at_once_are_answered_one_by_one(service):
    with connect(service) as connection:
        for _ in range(20):
            connection.sendall(REQUEST)
            assert answers(connection, 1) == 1


def test_requests_that_come_together_are_all_answered(service):
    with connect(service) as connection:
        connection.sendall(REQUEST * 3)
        assert answers(connection, 3) == 3
        connection.sendall(REQUEST)
        assert answers(connection, 1) == 1


def test_more_idle_connections_than_threads_keep_nobody_out(service):
    connections = [connect(service) for _ in range(20)]
    for _ in range(3):
        for connection in connections:
            connection.sendall(REQUEST)
        for connection in connections:
            assert answers(connection, 1) == 1
    for connection in connections:
        connection.close()


def test_a_server_that_is_stopped_waits_for_nobody_who_is_idle(tmp_path):
    service = ServiceProcess(tmp_path)
    service.start()
    with connect(service) as connection:
        connection.sendall(REQUEST)
        assert answers(connection, 1) == 1
        service.stop()
        assert connection.recv(1) == b""
