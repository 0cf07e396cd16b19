"""The service as an operator starts it: `consortium serve`, `consortium worker`, and the command line with `--json`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.common.servers import Server, free_port, listens, wait_for_port

COMMAND = [sys.executable, "-c", "from consortium.cli import main; main()"]


def clean_environment(**settings: str) -> dict[str, str]:
    """This environment without any setting of the product, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONSORTIUM_", "BANK_NODE_"))}
    return kept | settings


class ServiceProcess(Server):
    """`consortium serve` in a process (and its children) of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.settings = {"CONSORTIUM_DATA_DIR": str(folder), "CONSORTIUM_LOG_LEVEL": "WARNING", **settings}
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "serve.log"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", str(self.port)], env=clean_environment(**self.settings),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for_port(self.port, self.process)

    def kill(self) -> None:
        """SIGKILL to the server and its children."""
        self._end_group(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it."""
        self._end_group(signal.SIGTERM)

    def _end_group(self, with_signal: signal.Signals) -> None:
        if self.process is None:
            return
        os.killpg(self.process.pid, with_signal)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(15)
        self.process = None
        self._wait_until_free()

    def _wait_until_free(self) -> None:
        """Its children may hold the port a moment longer: whoever starts it again would take them for the new one."""
        until = time.monotonic() + 15
        while listens(self.port) and time.monotonic() < until:
            time.sleep(0.01)

    def cli(self, *arguments: str, token: str = "") -> Any:
        """Runs a command with `--json` and reads its answer."""
        environment = clean_environment(**self.settings, CONSORTIUM_URL=self.url, CONSORTIUM_TOKEN=token)
        done = subprocess.run(
            [*COMMAND, *arguments, "--json"], env=environment, capture_output=True, timeout=120, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"consortium {' '.join(arguments)}: exit {done.returncode}: {done.stderr.decode()}")
        return json.loads(done.stdout)


class WorkerProcess(ServiceProcess):
    """`consortium worker` in a process of its own."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.log = folder / f"{name}.log"

    def start(self) -> None:
        """Starts it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "worker", "--concurrency", "2"], env=clean_environment(**self.settings),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
