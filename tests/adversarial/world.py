"""A consortium in the middle of a training, over real HTTP: honest banks that stop just before they send, a bank that
refuses, a stranger, and requests as an attacker makes them. Whatever is done to it, it ends in the expected model.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel
from sqlalchemy import select

from consortium.access.service import Role, create_token
from consortium.db import Base
from consortium.members.service import active_nodes
from consortium.runtime import Runtime
from consortium.trainings.service import Invitee, start_training
from consortium.trainings.tables import Training
from learning.driver import plain_sum, run
from learning.entity_tables import EntityTables
from protocol.messages import STATEMENT_HEADER, Accepted, Refusal, WorkItem
from protocol.plan import Cohort, Deadlines, Plan, Protection, ProtectionLevel
from protocol.problems import MEDIA_TYPE, PROBLEMS, Problem, ProblemType
from protocol.request_auth import AUDIENCE, LIFETIME_S, body_digest
from protocol.signing import sign_statement
from protocol.statements import SignedStatement
from protocol.states import TrainingState
from tests.common.direct_service import TurnedClock
from tests.common.http_service import HttpTransport, enrol_bank, served
from tests.common.http_training import finish
from tests.common.small_bank import SmallBank
from tests.common.tables_learning import SETTINGS, build, rows_of

JSON = {"Content-Type": "application/json"}
BINARY = {"Content-Type": "application/octet-stream"}
#: So that a bank that is not asked is asked about nowhere: longer than any test.
LONG_S = 3600.0
#: What a refusal tells the caller to do, where "expected … got …" would say less.
ADVICE = ("expected", "sign it again", "ask the operator", "was removed by the operator", "`consortium", "is enrolled")


@dataclass(frozen=True)
class Upload:
    """A request that a bank would send; `path` without the version, `headers` without who sends it."""

    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "PUT"

    @classmethod
    def json(cls, path: str, message: BaseModel | None) -> Upload:
        return cls(path) if message is None else cls(path, message.model_dump_json().encode(), JSON)

    @classmethod
    def binary(cls, path: str, body: bytes, signed: SignedStatement | None) -> Upload:
        return cls(path, body, BINARY | ({} if signed is None else {STATEMENT_HEADER: signed.to_header()}))

    @property
    def target(self) -> str:
        return f"/v1/{self.path}"

    @property
    def signed(self) -> SignedStatement:
        """The statement in it."""
        if STATEMENT_HEADER in self.headers:
            return SignedStatement.from_header(self.headers[STATEMENT_HEADER])
        return SignedStatement.model_validate_json(self.body)

    def with_statement(self, signed: SignedStatement) -> Upload:
        """The same request around another statement."""
        if STATEMENT_HEADER in self.headers:
            return replace(self, headers=self.headers | {STATEMENT_HEADER: signed.to_header()})
        return replace(self, body=signed.model_dump_json().encode())

    def resigned(self, key: Ed25519PrivateKey, **changes: Any) -> Upload:
        """The same request with other fields in its statement, signed by this key."""
        return self.with_statement(sign_statement(key, self.signed.statement.model_copy(update=changes)))

    def with_body(self, body: bytes, key: Ed25519PrivateKey | None = None, **changes: Any) -> Upload:
        """The same request with other bytes, for which its statement is signed anew if there is a key."""
        changed = replace(self, body=body)
        if key is None:
            return changed
        digest = hashlib.sha256(body).hexdigest()
        return changed.resigned(key, digest=digest, size_bytes=len(body), **changes)


class Withholding:
    """A bank's way to the service that keeps what should be sent."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.kept: list[Upload] = []

    def put_json(self, path: str, body: BaseModel | None, *, wait: float | None = None) -> Accepted:
        self.kept.append(Upload.json(path, body))
        return Accepted()

    def put_bytes(
        self, path: str, data: bytes, statement: SignedStatement | None, *, wait: float | None = None
    ) -> Accepted:
        self.kept.append(Upload.binary(path, data, statement))
        return Accepted()

    def get_json(self, path: str, model: type[Any]) -> Any:
        return self._transport.get_json(path, model)

    def get_bytes(self, path: str) -> bytes:
        return self._transport.get_bytes(path)


def withheld(bank: SmallBank, item: WorkItem) -> list[Upload]:
    """Everything that a bank would send for a piece of work."""
    transport = bank.transport
    bank.transport = Withholding(transport)
    try:
        bank.perform(item)
        return bank.transport.kept
    finally:
        bank.transport = transport


def claims_of(node: str, upload: Upload, **changes: Any) -> dict[str, Any]:
    """What the token of an honest request says, and changes to it; a claim that is None is left out."""
    now = int(time.time())
    claims = {
        "iss": node, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME_S, "jti": str(uuid.uuid4()),
        "htm": upload.method, "htu": upload.target, "bdg": body_digest(hashlib.sha256(upload.body).digest()),
    }  # fmt: skip
    return {name: value for name, value in (claims | changes).items() if value is not None}


def token_of(transport: HttpTransport, upload: Upload, **changes: Any) -> str:
    """A request's token, signed by the node's own key."""
    return jwt.encode(claims_of(transport.node, upload, **changes), transport.key, algorithm="EdDSA")


class World:
    """The service, five banks, one that refuses, and a stranger that was not invited.

    Attributes:
        left_out: round → numbers of the banks whose contribution a test has kept from it.
    """

    def __init__(self, runtime: Runtime, url: str, clock: TurnedClock, **protection: Any) -> None:
        self.runtime, self.url, self.clock = runtime, url, clock
        self.started = clock.now()
        self.http = httpx.Client(base_url=url, timeout=60)
        self.left_out: dict[int, set[int]] = {}
        self.banks = [self._bank(number) for number in range(5)]
        self.spare = self._bank(5)
        self.spare.refuses = "the bank's policy does not allow this plan"
        self.training = self._start(protection)
        self.stranger = self._bank(6)
        self.tokens = {role: self._token(role) for role in Role}

    def _bank(self, number: int) -> SmallBank:
        transport = enrol_bank(self.runtime, self.url, f"bank-{number}")
        return SmallBank(transport.node, transport.key, transport, build, rows_of(number))

    def _start(self, protection: dict[str, Any]) -> str:
        plan = Plan(
            name="tables", learning=SETTINGS.model_dump(mode="json"), cohort=Cohort(min_banks=3),
            protection=Protection(**({"level": ProtectionLevel.CKKS} | protection)),
            deadlines=Deadlines(invitation_s=LONG_S, ceremony_s=LONG_S, contribution_s=LONG_S, share_s=LONG_S),
        )  # fmt: skip
        with self.runtime.act("test.start") as (s, effects, now):
            nodes = [Invitee(row.id, row.name, row.signing_key) for row in active_nodes(s)]
            identifier: str = start_training(s, plan, nodes, effects, by="test", now=now).id
        return identifier

    def _token(self, role: Role) -> str:
        with self.runtime.act("test.token") as (s, _, now):
            return create_token(s, name=f"a-{role}", role=role, by="test", now=now)[1]

    # The honest side.

    def until(self, do: str, round_index: int = 0) -> dict[str, WorkItem]:
        """Lets the banks do what they owe until some owe this; what each of these then owes."""
        for _ in range(2000):
            owed, rest = self._owed(do, round_index)
            if owed and not rest:
                return self._owed(do, round_index)[0]
            for bank, item in rest:
                bank.perform(item)
            if not rest:
                time.sleep(0.01)
        raise AssertionError(f"nobody came to owe {do} in round {round_index}")

    def _owed(self, do: str, round_index: int) -> tuple[dict[str, WorkItem], list[tuple[SmallBank, WorkItem]]]:
        owed, rest = {}, []
        for bank in (*self.banks, self.spare):
            for item in bank.transport.work().items:
                if item.do == do and getattr(item, "round", round_index) == round_index:
                    owed[bank.node] = item
                else:
                    rest.append((bank, item))
        return owed, rest

    def bank(self, node: str) -> SmallBank:
        return next(bank for bank in (*self.banks, self.spare, self.stranger) if bank.node == node)

    def finish(self) -> None:
        """Lets the training end, and compares its model with what the in-process driver makes of the same rows."""
        for item in self.spare.transport.work().items:
            if item.do == "answer_invitation":
                self.spare.perform(item)
        finish([bank for bank in self.banks if bank.ended is None], timeout_s=30)
        with self.runtime.db.reading("test") as s:
            training = s.get_one(Training, self.training)
        assert training.status is TrainingState.COMPLETED, training.reason
        assert training.model_digest == self.expected_model()

    def expected_model(self) -> str:
        """What the rounds make of the rows of those who were let contribute."""
        numbers = iter(range(1000))

        def summed(query: Any, contributions: Any) -> Any:
            out = self.left_out.get(next(numbers), set())
            return plain_sum(query, [part for number, part in enumerate(contributions) if number not in out])

        return run(EntityTables(SETTINGS), [rows_of(bank) for bank in range(5)], secure_sum=summed).digest().hex()

    # The dishonest side.

    def send(self, sender: SmallBank, upload: Upload, **claims: Any) -> httpx.Response:
        """The request under the sender's own fresh token, whose claims may be changed."""
        return self.send_with(upload, token_of(sender.transport, upload, **claims))

    def send_with(self, upload: Upload, token: str | None) -> httpx.Response:
        """The request under any token."""
        headers: dict[str, Any] = dict(upload.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}".encode()
        return self.http.request(upload.method, upload.target, content=upload.body, headers=headers)

    def accepted(self) -> dict[str, list[Any]]:
        """Everything that the service holds, but for when it has heard of whom, and the record of events."""
        found = {}
        with self.runtime.db.reading("test") as s:
            for table in Base.metadata.sorted_tables:
                if table.name != "training_events":
                    columns = [column for column in table.columns if column.name != "seen_at"]
                    found[table.name] = [tuple(row) for row in s.execute(select(*columns).order_by(*table.primary_key))]
        return found

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing is accepted meanwhile, and nothing that was accepted is lost."""
        before = self.accepted()
        yield
        assert self.accepted() == before

    def refuses(
        self, sender: SmallBank, upload: Upload, kind: ProblemType, *words: str, **claims: Any
    ) -> None:  # fmt: skip
        """The request is refused for this reason and changes nothing."""
        with self.unchanged():
            answer = self.send(sender, upload, **claims)
        self.check_refusal(answer, kind, *words)

    def check_refusal(self, answer: httpx.Response, kind: ProblemType, *words: str) -> None:
        """A refusal as it should be: type, status, a sentence that helps, and no secrets."""
        check_problem(answer.status_code, answer.headers["Content-Type"], answer.content, kind, *words)
        for secret in self._secrets():
            assert secret not in answer.text

    def _secrets(self) -> Iterator[str]:
        for bank in (*self.banks, self.spare, self.stranger):
            raw = bank.key.private_bytes_raw(), bank.sealing.to_secret_bytes()
            yield from (secret.hex()[:40] for secret in raw)
        yield from self.tokens.values()


def check_problem(status: int, media_type: str, content: bytes, kind: ProblemType, *words: str) -> None:
    """A problem document of this type whose sentence says what was expected, and holds no long run of secrets."""
    assert media_type == MEDIA_TYPE, content
    problem = Problem.model_validate_json(content)
    assert (problem.kind, problem.status, status) == (kind, PROBLEMS[kind].status, PROBLEMS[kind].status), content
    for word in words:
        assert word in problem.detail
    if kind is ProblemType.VALIDATION:
        assert problem.model_dump()["fields"]
    else:
        assert any(advice in problem.detail for advice in ADVICE), problem.detail
    # Ids and digests are public; keys, signatures, tokens and bodies would show as longer or other runs.
    for run_ in re.findall(r"[A-Za-z0-9+_=]{44,}", content.decode()):
        assert re.fullmatch(r"[0-9a-f]{64}", run_), run_


@contextmanager
def running_world(folder: Path, **protection: Any) -> Iterator[World]:
    """A world whose training completes in the expected model once the tests are through with it."""
    clock = TurnedClock()
    with served(folder, build, clock=clock, reconcile_s=0.2) as (runtime, url):
        world = World(runtime, url, clock, **protection)
        yield world
        world.finish()
        for bank in (*world.banks, world.spare, world.stranger):
            bank.transport.client.close()
        world.http.close()


KINDS = (
    "acceptance", "refusal", "complaint", "sealed", "deal", "receipt", "contribution", "vote", "share", "model",
    "farewell",
)  # fmt: skip
_OWED = {
    "acceptance": "answer_invitation", "sealed": "deal", "deal": "deal", "receipt": "receive",
    "contribution": "contribute", "vote": "vote", "share": "share", "model": "confirm_model", "farewell": "end",
}  # fmt: skip


def capture(world: World, kind: str) -> tuple[SmallBank, Upload]:
    """A bank's next upload of this kind, which the service would take now."""
    if kind == "complaint":
        path = f"trainings/{world.training}/complaint"
        return world.spare, Upload.json(path, Refusal(reason="the roster is another than yesterday"))
    if kind == "refusal":
        return world.spare, withheld(world.spare, world.spare.transport.work().items[0])[0]
    owed = world.until(_OWED[kind])
    bank = next(bank for bank in world.banks if bank.node in owed)
    uploads = withheld(bank, owed[bank.node])
    if kind == "sealed":
        return bank, uploads[0]
    for before in uploads[:-1]:  # a deal is taken once everything that it names is there
        assert world.send(bank, before).is_success
    return bank, uploads[-1]
