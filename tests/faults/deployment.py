"""A whole consortium in processes that can be killed at any moment, and banks that go on regardless."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from sqlalchemy import NullPool, create_engine, select
from sqlalchemy.orm import Session

from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.service import deals_of
from consortium.trainings.tables import Training, TrainingEventRow
from protocol.history import contributors_digest, first_history, next_history
from protocol.ids import NodeId, TrainingId
from protocol.problems import Problem
from protocol.statements import ShareStatement, SignedStatement, deals_digest
from tests.common.http_service import HttpTransport, enrol_with
from tests.common.processes import ServiceProcess, WorkerProcess
from tests.common.servers import PostgresServer, RedisServer, Server
from tests.common.small_bank import SmallBank


class Stale(Exception):
    """The service has no use for this message any more: ask for work again."""


class StubbornTransport(HttpTransport):
    """Sends a request until it is answered."""

    stopped = False

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str], wait: float | None) -> bytes:
        while not self.stopped:
            try:
                answer = self.send_once(method, path, body, headers, wait)
            except httpx.TransportError:
                time.sleep(random.uniform(0.02, 0.2))
                continue
            if answer.status_code < 400:
                return answer.content
            if answer.status_code in {409, 404}:
                raise Stale(answer.text)
            problem = Problem.model_validate_json(answer.content)
            if answer.status_code < 500 and problem.kind not in {"stale-token", "replayed"}:
                raise AssertionError(f"{method} {path}: {answer.text}")
            time.sleep(random.uniform(0.02, 0.2))
        raise Stale("stopped")


class Deployment:
    """Server, workers, Redis, PostgreSQL and five banks.

    Args:
        folder: for data and logs.
        build: algorithm of a plan's `learning`.
        data: bank-side data of each bank.
        workers: how many.
    """

    def __init__(self, folder: Path, build: Callable[[Any], Any], data: list[Any], *, workers: int = 2) -> None:
        self.redis, self.postgres = RedisServer(), PostgresServer()
        settings = {
            "CONSORTIUM_REDIS_URL": self.redis.url,
            "CONSORTIUM_DATABASE_URL": self.postgres.url,
            "CONSORTIUM_RECONCILE_S": "0.5",
        }
        self.service = ServiceProcess(folder, **settings)
        self.workers = [WorkerProcess(folder, f"worker-{number}", **settings) for number in range(workers)]
        self.folder, self._build, self._data = folder, build, data
        self.banks: list[SmallBank] = []
        self._threads: list[threading.Thread] = []
        self.failures: list[Exception] = []
        self.token = ""

    @property
    def servers(self) -> list[Server]:
        """Everything that can be killed and started again."""
        return [self.redis, self.postgres, self.service, *self.workers]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for server in self.servers:
                started.enter_context(server)
            self._enrol()
            self._started = started.pop_all()
        return self

    def _enrol(self) -> None:
        self.token = self.service.cli("token", "create", "ops", "--role", "admin")["token"]
        for number, data in enumerate(self._data):
            name = f"bank-{number}"
            invited = self.service.cli("node", "invite", name, token=self.token)
            enrolled = enrol_with(self.service.url, name, invited["token"])
            enrolled.client.close()
            transport = StubbornTransport(self.service.url, enrolled.node, enrolled.key)
            self.banks.append(SmallBank(transport.node, transport.key, transport, self._build, data))

    def __exit__(self, *exception: object) -> None:
        for bank in self.banks:
            bank.transport.stopped = True
        self._started.close()
        for thread in self._threads:
            thread.join(30)
        for bank in self.banks:
            bank.transport.client.close()

    def start_training(self, plan: dict[str, Any]) -> str:
        """Creates the plan, starts a training, and sets the banks to work."""
        path = self.folder / "plan.json"
        path.write_text(json.dumps(plan))
        self.service.cli("plan", "create", str(path), token=self.token)
        training: str = self.service.cli("training", "start", plan["name"], token=self.token)["id"]
        self._threads = [threading.Thread(target=self._live, args=(bank,), daemon=True) for bank in self.banks]
        for thread in self._threads:
            thread.start()
        return training

    def _live(self, bank: SmallBank) -> None:
        work = None
        try:
            while bank.ended is None and not bank.transport.stopped:
                try:
                    work = work or bank.transport.work(wait=5)
                    items, work = work.items, None
                    for item in items:
                        work = bank.perform(item, wait=None if item.do == "end" else 5).work
                except Stale:
                    work = None
        except Exception as error:  # noqa: BLE001  # the test reports it
            self.failures.append(error)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session of the test's own on the service's database."""
        engine = create_engine(self.postgres.url, poolclass=NullPool)
        with Session(engine, expire_on_commit=False) as s:
            yield s

    def ended(self) -> bool:
        """Whether every bank has said farewell, or one has failed."""
        return bool(self.failures) or all(bank.ended is not None for bank in self.banks)


def strike(deployment: Deployment, rng: random.Random) -> str:
    """Kills something, and starts it again a moment later. Redis loses its data."""
    name, victim = rng.choice(
        [
            ("server", deployment.service),
            ("worker", rng.choice(deployment.workers)),
            ("redis", deployment.redis),
            ("postgres", deployment.postgres),
        ]
    )
    victim.kill()
    time.sleep(rng.uniform(0.0, 0.6))
    victim.start()
    return name


def check_history(deployment: Deployment, training_id: str) -> list[Round]:
    """No round lost or applied twice, one contributor set a round, and the chain as anyone computes it."""
    with deployment.session() as s:
        training = s.get_one(Training, training_id)
        rounds = list(s.scalars(select(Round).where(Round.training == training_id).order_by(Round.index)))
        assert [row.index for row in rounds] == list(range(training.round))
        history = first_history(
            TrainingId(training_id), plan=training.plan_digest, roster=training.roster_digest or "",
            deals=deals_digest(deals_of(s, training)),
        )  # fmt: skip
        for row in rounds:
            assert row.state == "applied"
            assert row.history == history
            named = contributors_digest([NodeId(node) for node in row.contributors])
            history = next_history(
                history, row.index, query=row.query_digest, contributors=named, aggregate=row.aggregate_digest
            )
            shares = s.scalars(
                select(Assignment.statement).where(
                    Assignment.training == training_id,
                    Assignment.round == row.index,
                    Assignment.statement.is_not(None),
                )
            )
            statements = [SignedStatement.model_validate_json(text).expect(ShareStatement) for text in shares]
            assert {statement.contributors for statement in statements} <= {named}
            sent = s.scalars(
                select(Contribution.node).where(Contribution.training == training_id, Contribution.round == row.index)
            )
            assert set(row.contributors) <= set(sent)
        assert history == training.history
        finished = s.scalars(
            select(TrainingEventRow).where(
                TrainingEventRow.training == training_id, TrainingEventRow.kind == "rounds_finished"
            )
        )
        assert len(list(finished)) == 1
        return rounds
