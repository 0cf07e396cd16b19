"""A consortium as its operator and its banks start it: one service with its embedded worker, one agent a bank."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pandas as pd

_BIN = Path(sys.executable).parent


class DemoFailed(Exception):
    """Something of the consortium did not do what it should; the end of its log is part of the sentence."""


class Deployment(AbstractContextManager["Deployment"]):
    """Service and agents as processes; everything is stopped by process id at the end.

    Args:
        folder: for data, homes and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONSORTIUM_", "BANK_NODE_"))}
        self._environment = kept | {"CONSORTIUM_DATA_DIR": str(folder / "service"), "BANK_NODE_LOG_LEVEL": "warning"}
        self.http = httpx.Client(timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        for _, process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for _, process in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def serve(self) -> None:
        """Starts the service on a free loopback port and makes an operator's token."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._environment["CONSORTIUM_URL"] = f"http://127.0.0.1:{port}"
        self._start("service", [str(_BIN / "consortium"), "serve", "--port", str(port)])
        self.http.base_url = httpx.URL(self._environment["CONSORTIUM_URL"])
        self._until_it_answers(port)
        self._environment["CONSORTIUM_TOKEN"] = self.consortium("token", "create", "demo", "--role", "admin")["token"]
        self.http.headers["Authorization"] = f"Bearer {self._environment['CONSORTIUM_TOKEN']}"

    def _until_it_answers(self, port: int) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise DemoFailed(f"the service does not answer on port {port}\n{self._tail('service')}")

    def add_bank(self, name: str, table: pd.DataFrame) -> None:
        """Writes a bank's table, enrols its node and starts the agent."""
        home = self.home(name)
        data = self.folder / f"{name}.parquet"
        table.to_parquet(data)
        invitation = self.consortium("node", "invite", name)
        self._run(
            [str(_BIN / "bank-node"), "enrol", "--url", self._environment["CONSORTIUM_URL"], "--name", name,
             "--token", invitation["token"], "--data", str(data), "--home", str(home), "--json"]
        )  # fmt: skip
        self._start(name, [str(_BIN / "bank-node"), "run", "--home", str(home)])

    def home(self, bank: str) -> Path:
        """A bank's home folder."""
        return self.folder / "banks" / bank

    def score(self, bank: str, model: str) -> pd.Series:
        """A bank's scores of its own table, by its own node."""
        out = self.folder / f"{bank}-{model}.csv"
        self._run(
            [str(_BIN / "bank-node"), "score", str(self.folder / f"{bank}.parquet"), "--model", model,
             "--out", str(out), "--home", str(self.home(bank)), "--json"]
        )  # fmt: skip
        return pd.read_csv(out)["fraud_probability"]

    def held_digests(self, model: str) -> dict[str, str]:
        """Bank → digest of the model that it holds under this name."""
        found = {}
        for home in sorted((self.folder / "banks").iterdir()):
            listed = self._run([str(_BIN / "bank-node"), "models", "--home", str(home), "--json"])
            found[home.name] = next((entry["digest"] for entry in listed if entry["name"] == model), "none")
        return found

    def train(self, plan: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Runs a training to its end and shows how far it is.

        Raises:
            DemoFailed: it did not complete.
        """
        path = self.folder / f"{plan['name']}.plan.json"
        path.write_text(json.dumps(plan, indent=2))
        self.consortium("plan", "create", str(path))
        training = self.consortium("training", "start", plan["name"])["id"]
        while True:
            self.check()
            answer = self.http.get(f"/v1/trainings/{training}")
            answer.raise_for_status()
            view: dict[str, Any] = answer.json()
            show(view)
            if view["state"] == "completed":
                return view
            if view["state"] in {"failed", "cancelled", "paused"}:
                complaints = "; ".join(
                    f"{bank['name']}: {bank['complaint'] or bank['refusal']}" for bank in view["banks"]
                )
                raise DemoFailed(f"training {plan['name']} is {view['state']}: {view['reason']} ({complaints})")
            time.sleep(0.25)

    def consortium(self, *arguments: str) -> Any:
        """A command of the operator's."""
        return self._run([str(_BIN / "consortium"), *arguments, "--json"])

    def check(self) -> None:
        """Raises if one of the processes has ended."""
        for name, process in self._processes:
            if process.poll() is not None:
                raise DemoFailed(f"{name} ended with exit code {process.returncode}\n{self._tail(name)}")

    def _start(self, name: str, command: list[str]) -> None:
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        self._processes.append((name, process))

    def _run(self, command: list[str]) -> Any:
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise DemoFailed(
                f"{Path(command[0]).name} {command[1]}: exit code {done.returncode}\n{done.stderr[-2000:]}"
            )
        return json.loads(done.stdout)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-15:])
