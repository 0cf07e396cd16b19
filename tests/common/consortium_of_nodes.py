"""A consortium of the product's own processes: service (and, with a broker, workers), and five banks' nodes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pandas as pd

from tests.common.nodes import NodeProcess
from tests.common.processes import ServiceProcess, WorkerProcess
from tests.common.servers import PostgresServer, RedisServer, Server


class ConsortiumOfNodes:
    """Everything in processes of its own.

    Args:
        folder: for data, homes and logs.
        tables: each bank's rows; or its datasets by name, `transactions` among them.
        workers: Celery workers over Redis and PostgreSQL; 0 for the embedded worker over SQLite.
        policy: every bank's own policy.toml.
        log_level: of the nodes.
        through: from the service's address and a bank's number to the address that this bank is told, a proxy's say.
        settings: more of the service's settings.
    """

    def __init__(
        self,
        folder: Path,
        tables: Sequence[pd.DataFrame | Mapping[str, pd.DataFrame]],
        *,
        workers: int = 0,
        policy: str = "",
        log_level: str = "warning",
        through: Callable[[str, int], str] | None = None,
        **settings: str,
    ) -> None:
        self.folder, self._tables = folder, tables
        self._policy, self._through, self._log_level = policy, through, log_level
        self.backends: list[Server] = []
        if workers:
            redis, postgres = RedisServer(), PostgresServer()
            settings |= {"CONSORTIUM_REDIS_URL": redis.url, "CONSORTIUM_DATABASE_URL": postgres.url}
            self.backends = [redis, postgres]
        self.service = ServiceProcess(folder, **settings)
        self.workers = [WorkerProcess(folder, f"worker-{number}", **settings) for number in range(workers)]
        self.nodes: list[NodeProcess] = []
        self.token = ""

    @property
    def servers(self) -> list[Server]:
        """Everything that runs, in the order in which it starts."""
        return [*self.backends, self.service, *self.workers, *self.nodes]

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.start()
            self.token = self.service.cli("token", "create", "ops", "--role", "admin")["token"]
            for number, table in enumerate(self._tables):
                self.enrol(f"bank-{number}", table)
        except BaseException:
            self.__exit__()
            raise
        return self

    def enrol(self, name: str, table: pd.DataFrame | Mapping[str, pd.DataFrame]) -> None:
        """Enrols a bank and starts its agent."""
        datasets = {"transactions": table} if isinstance(table, pd.DataFrame) else table
        paths = {dataset: self.folder / f"{name}-{dataset}.parquet" for dataset in datasets}
        for dataset, path in paths.items():
            datasets[dataset].to_parquet(path)
        token = self.service.cli("node", "invite", name, token=self.token)["token"]
        url = self._through(self.service.url, len(self.nodes)) if self._through else self.service.url
        node = NodeProcess(self.folder, url, name, token, paths.pop("transactions"), log_level=self._log_level)
        for dataset, path in paths.items():
            node.add_dataset(dataset, path)
        if self._policy:
            (node.home / "policy.toml").write_text(self._policy)
        self.nodes.append(node)
        node.start()

    def __exit__(self, *exception: object) -> None:
        # One that does not stop leaves none of the others behind.
        with ExitStack() as stack:
            for server in self.servers:
                stack.callback(server.stop)

    def start_training(self, plan: dict[str, Any]) -> str:
        """Creates a plan and starts a training of it."""
        path = self.folder / f"{plan['name']}.json"
        path.write_text(json.dumps(plan))
        self.service.cli("plan", "create", str(path), token=self.token)
        training: str = self.service.cli("training", "start", plan["name"], token=self.token)["id"]
        return training

    def show(self, training: str) -> dict[str, Any]:
        """A training as the operator sees it."""
        view: dict[str, Any] = self.service.cli("training", "show", training, token=self.token)
        return view

    def rounds(self, training: str) -> list[dict[str, Any]]:
        """Every round of a training as the operator sees it."""
        answer = httpx.get(
            f"{self.service.url}/v1/trainings/{training}/rounds", params={"limit": 5000},
            headers={"Authorization": f"Bearer {self.token}"}, timeout=30,
        )  # fmt: skip
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["rounds"]
        return found

    def until(self, training: str, *states: str, timeout_s: float = 180.0) -> dict[str, Any]:
        """Waits for a state of a training."""
        return self.wait_for(training, lambda view: view["state"] in states, timeout_s=timeout_s)

    def finish(self, training: str, *, timeout_s: float = 180.0) -> dict[str, Any]:
        """Waits for the training's released model, confirmed and registered by every bank that is here."""
        view = self.until(training, "completed", "failed", "cancelled", timeout_s=timeout_s)
        if view["state"] != "completed":
            raise AssertionError(f"training is {view['state']}: {view['reason']}\n{self._logs()}")
        confirmed = {bank["name"] for bank in view["banks"] if bank["confirmed"]}
        here = [node for node in self.nodes if node.name in confirmed and node.process is not None]
        self._wait_for_farewells(training, here, timeout_s)
        return view

    def _wait_for_farewells(self, training: str, nodes: list[NodeProcess], timeout_s: float) -> None:
        """The last bank's confirmation completes a training; each bank hears of that on its own, and then registers."""
        until = time.monotonic() + timeout_s
        waiting = [node.home / "trainings" / training / "ended.json" for node in nodes]
        while missing := [path for path in waiting if not path.exists()]:
            if time.monotonic() >= until:
                raise AssertionError(f"no farewell: {missing}\n{self._logs()}")
            time.sleep(0.05)

    def wait_for(
        self, training: str, seen: Callable[[dict[str, Any]], bool], *, timeout_s: float = 180.0
    ) -> dict[str, Any]:
        """Waits until a training looks as it should."""
        until = time.monotonic() + timeout_s
        while True:
            view = self.show(training)
            if seen(view):
                return view
            if time.monotonic() >= until:
                raise AssertionError(
                    f"training is {view['state']}: {view['reason']}; {view['events'][-5:]}\n{self._logs()}"
                )
            time.sleep(0.3)

    def _logs(self) -> str:
        return "\n".join(server.log.read_text()[-1500:] for server in (self.service, *self.workers, *self.nodes))
