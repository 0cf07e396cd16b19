"""What is left of a service whose parent process alone was killed."""

from __future__ import annotations

import os
import signal
import socket
import time

import httpx
import psutil
import pytest

from tests.common.processes import ServiceProcess

pytestmark = pytest.mark.server


def test_a_server_does_not_outlive_its_parent_however_many_wait_for_its_answer(tmp_path):
    service = ServiceProcess(tmp_path)
    service.start()
    assert httpx.get(f"{service.url}/health").is_success
    parent = psutil.Process(service.process.pid)
    children = parent.children(recursive=True)
    try:
        with socket.create_connection(("127.0.0.1", service.port)) as waiting:
            waiting.sendall(b"GET /health HTTP/1.1\r\nHost: ")  # whose end a thread waits for
            time.sleep(0.5)
            os.kill(parent.pid, signal.SIGKILL)
            service.process.wait(10)
            _, left = psutil.wait_procs(children, timeout=10)
        assert children
        assert left == []
    finally:
        for child in children:
            if child.is_running():
                child.kill()
    service.start()  # on the same folder
    service.stop()
