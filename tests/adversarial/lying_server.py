"""A server that lies to a bank's node, over real HTTP, to the node's real code with its real keys and files.

An honest training is recorded first: before each piece of work that the honest service asks of one node, that node's
home folder is copied. A test then takes such a copy, opens the node from it, and lets a server of its own ask what the
honest one would not. Whatever the node sends is kept.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bank_node.agent import Agent
from bank_node.durable import Disk
from bank_node.enrolment import enrol
from bank_node.home import Home
from bank_node.in_force import InForce
from bank_node.opening import open_node
from bank_node.participations import Participations
from bank_node.running import build_algorithm
from bank_node.settings import load_settings
from bank_node.status import read_status
from bank_node.training_store import TrainingStore
from consortium.members.service import invite
from consortium.runtime import Runtime
from crypto.member import AnswerRecord
from learning.schema import FeatureSchema, prepare
from protocol.ids import uuid_bytes
from protocol.messages import (
    STATEMENT_HEADER,
    Accepted,
    Complaint,
    ContributeWork,
    EndedWork,
    ReceiveWork,
    VoteWork,
    WorkItem,
)
from protocol.plan import Deadlines, Plan, Protection
from protocol.problems import MEDIA_TYPE, Problem, ProblemType
from protocol.statements import SignedStatement
from tests.common.http_service import enrol_bank, served
from tests.common.http_training import live, start
from tests.common.nodes import schema_of, simulated_rows
from tests.common.small_bank import SmallBank

COLUMNS = 4
LEARNING = {"kind": "logistic", "inputs": schema_of(COLUMNS)}
_LONG = Deadlines(invitation_s=600, ceremony_s=600, contribution_s=600, share_s=600)
PLAIN = Plan(name="plain", learning=LEARNING, deadlines=_LONG)
AGREED = Plan(name="agreed", learning=LEARNING, deadlines=_LONG, protection=Protection(threshold=3, agreement=True))
VICTIM = "bank-v"


@dataclass(frozen=True)
class Stage:
    """One piece of work that the honest service asked, and the node's home folder just before."""

    item: WorkItem
    home: Path


class Votes:
    """The rounds in which the real node has voted."""

    def __init__(self) -> None:
        self._rounds: set[tuple[str, int]] = set()
        self._changed = threading.Condition()

    def cast(self, item: VoteWork) -> None:
        """It has."""
        with self._changed:
            self._rounds.add((item.training, item.round))
            self._changed.notify_all()

    def wait_for(self, item: VoteWork) -> None:
        """Waits until it has."""
        with self._changed:
            assert self._changed.wait_for(lambda: (item.training, item.round) in self._rounds, timeout=120)


@dataclass
class Recording:
    """An honest consortium's trainings of both plans, one after the other.

    `files` has what a node may fetch: address → bytes.
    """

    banks: dict[str, SmallBank] = field(default_factory=dict)
    trainings: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    votes: Votes = field(default_factory=Votes)

    def stage(self, plan: Plan, do: str, round_index: int | None = None) -> Stage:
        """The moment before this was asked."""
        training = self.trainings[plan.name]
        found = [stage for stage in self.stages if (stage.item.training, stage.item.do) == (training, do)]
        if round_index is not None:
            found = [stage for stage in found if stage.item.round == round_index]
        return found[0]


def _sealed(item: ReceiveWork, node: str) -> Iterator[str]:
    for signed in item.deals:
        if node in signed.statement.sealed:
            yield f"trainings/{item.training}/ceremony/{item.attempt}/sealed/{signed.statement.node}"


def _fetchable(item: WorkItem, node: str) -> list[str]:
    if isinstance(item, ReceiveWork):
        return list(_sealed(item, node))
    if isinstance(item, ContributeWork) and item.round > 0:
        path = f"trainings/{item.training}/rounds/{item.round - 1}"
        return [f"{path}/applied", f"{path}/aggregate"]
    return []


class LastToVote(SmallBank):
    """A bank that votes once the real node has, so that the round does not go on without that node's vote."""

    def __init__(self, *parts: Any, votes: Votes) -> None:
        super().__init__(*parts)
        self._votes = votes

    def perform(self, item: WorkItem, *, wait: float | None = None) -> Accepted:
        """As a bank does."""
        if isinstance(item, VoteWork):
            self._votes.wait_for(item)
        return super().perform(item, wait=wait)


def record(folder: Path) -> Recording:
    """Runs the honest trainings with four small banks and one real node, and records what the node is asked."""
    recording = Recording()
    schema = FeatureSchema.model_validate(LEARNING["inputs"])
    with served(folder / "service", build_algorithm) as (runtime, url):
        for number in range(4):
            transport = enrol_bank(runtime, url, f"bank-{number}")
            data = prepare(simulated_rows(number, 200, COLUMNS), schema)
            bank = LastToVote(transport.node, transport.key, transport, build_algorithm, data, votes=recording.votes)
            recording.banks[bank.node] = bank
        home = _enrol_victim(folder, runtime, url)
        for plan in (PLAIN, AGREED):
            _record_training(recording, runtime, home, plan)
    return recording


def _enrol_victim(folder: Path, runtime: Runtime, url: str) -> Home:
    data = folder / "rows.parquet"
    simulated_rows(9, 200, COLUMNS).to_parquet(data)
    with runtime.act("test.invite") as (s, _, now):
        _, token = invite(s, name=VICTIM, by="test", lifetime_s=600, now=now)
    home = Home(folder / "victim")
    enrol(home, url=url, name=VICTIM, token=token, data=data)
    return home


def _record_training(recording: Recording, runtime: Runtime, home: Home, plan: Plan) -> None:
    recording.trainings[plan.name] = start(runtime, plan)
    for bank in recording.banks.values():
        bank.ended, bank.round = None, 0
        bank._dealt, bank._contributed = {}, {}
    threads = [threading.Thread(target=live, args=(bank,), daemon=True) for bank in recording.banks.values()]
    for thread in threads:
        thread.start()
    with open_node(home) as node:
        participations = Participations(node)
        ended = False
        while not ended:
            for item in node.client.work(5.0).items:
                for path in _fetchable(item, node.identity.node):
                    recording.files[path] = node.client.get_bytes(path)
                copy = home.folder.with_name(f"stage-{len(recording.stages)}")
                shutil.copytree(home.folder, copy)
                recording.stages.append(Stage(item, copy))
                participations.perform(item, wait_s=None)
                if isinstance(item, VoteWork):
                    recording.votes.cast(item)
                ended = isinstance(item, EndedWork)
    for thread in threads:
        thread.join(60)


@dataclass(frozen=True)
class Sent:
    """What a node has sent."""

    path: str
    body: bytes
    header: str | None

    @property
    def statement(self) -> Any:
        """The statement in it."""
        if self.header is not None:
            return SignedStatement.from_header(self.header).statement
        return SignedStatement.model_validate_json(self.body).statement


class LyingServer:
    """Asks what a test says, answers from `files`, takes everything, and keeps it.

    `broken` makes it fail after it has taken an upload: the node does not know whether it has.
    """

    def __init__(self) -> None:
        self.batches: list[Sequence[WorkItem | dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.sent: list[Sent] = []
        self.broken = False
        handler = type("Handler", (_Handler,), {"lies": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[LyingServer]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)

    @property
    def complaints(self) -> list[Complaint]:
        """Why the node does not go on."""
        return [Complaint.model_validate_json(one.body) for one in self.sent if one.path.endswith("/complaint")]

    @property
    def uploads(self) -> list[Sent]:
        """Everything else that has left the node."""
        return [one for one in self.sent if not one.path.endswith("/complaint")]

    def next_work(self) -> bytes:
        batch = self.batches.pop(0) if self.batches else ()
        items = [item if isinstance(item, dict) else item.model_dump(mode="json") for item in batch]
        return json.dumps({"items": items}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lies: LyingServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/v1/")
        if path == "work":
            self._answer(200, self.lies.next_work())
        elif path in self.lies.files:
            self._answer(200, self.lies.files[path])
        else:
            self._problem(ProblemType.NOT_FOUND)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path.removeprefix("/v1/")
        self.lies.sent.append(Sent(path, body, self.headers[STATEMENT_HEADER]))
        if self.lies.broken:
            self._problem(ProblemType.UNAVAILABLE)
        else:
            self._answer(200, Accepted().model_dump_json().encode())

    def _problem(self, kind: ProblemType) -> None:
        problem = Problem.of(kind, "a lie, or the truth")
        self._answer(problem.status, problem.model_dump_json().encode(), MEDIA_TYPE)

    def _answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class _Watched(Participations):
    """The node's own participations; remembers what they raised."""

    def __init__(self, node: Any) -> None:
        super().__init__(node)
        self.errors: list[Exception] = []

    def perform(self, item: WorkItem, *, wait_s: float | None) -> Accepted | None:
        try:
            return super().perform(item, wait_s=wait_s)
        except Exception as error:
            self.errors.append(error)
            raise


class Victim:
    """A node, opened anew from its folder at every `run`, as after a restart."""

    def __init__(self, stage: Stage, folder: Path, server: LyingServer) -> None:
        shutil.copytree(stage.home, folder)
        self.home, self.server, self.item = Home(folder), server, stage.item
        self.store = TrainingStore(self.home.trainings / stage.item.training, Disk())

    def run(self, *batches: Sequence[WorkItem | dict[str, Any]], disk: Disk | None = None) -> list[Exception]:
        """Lets the server ask these; what the node's handlers raised, in order."""
        self.server.batches = list(batches)
        settings = load_settings(self.home).model_copy(update={"url": self.server.url})
        with open_node(self.home, settings=settings, give_up_after_s=0, disk=disk) as node:
            worker = _Watched(node)
            agent = Agent(
                node.client, worker, node.board, stop=threading.Event(), long_poll_s=0,
                in_force=InForce(self.home.models, node.disk), clock=node.clock,
            )  # fmt: skip
            try:
                agent.run(once=True)
            finally:
                for opened in worker._open.values():  # the process ends here: its descriptors would be closed
                    opened._close()
        return worker.errors

    def policy(self, text: str) -> None:
        """Writes the bank's policy."""
        self.home.policy.write_text(text)

    def recorded_contribution(self, round_index: int) -> bytes | None:
        """What the journal says of this bank's contribution."""
        with AnswerRecord(self.store.journal_path) as record:
            return record.contribution(round_index)

    def recorded_contributors(self, round_index: int) -> tuple[bytes, ...] | None:
        """What the journal says of the contributor set answered for."""
        with AnswerRecord(self.store.journal_path) as record:
            return record.contributors(round_index)

    def complaint(self) -> str | None:
        """What the node's own status page says."""
        status = read_status(self.home.status)
        return None if status is None else status.trainings[self.item.training].complaint


def raw_ids(statements: Sequence[SignedStatement]) -> tuple[bytes, ...]:
    """A contributor set as the journal has it."""
    return tuple(sorted(uuid_bytes(signed.statement.node) for signed in statements))
