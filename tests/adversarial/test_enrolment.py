"""Attacks on enrolment: the one address that asks for no signature around the request, but for a one-time token."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from consortium.members.service import invite
from consortium.members.tables import EnrolmentToken, NodeRow
from protocol.ids import sha256_hex
from protocol.messages import EnrolmentRequest
from protocol.problems import ProblemType as P
from protocol.signing import key_text, sign_statement
from protocol.statements import Acceptance, Enrolment, SignedStatement
from tests.adversarial.world import check_problem
from tests.common.direct_service import TurnedClock
from tests.common.http_service import HttpTransport, served
from tests.common.tables_learning import build


@dataclass
class Door:
    """The service, a token for the bank `name`, and that bank's key."""

    runtime: Any
    url: str
    clock: TurnedClock
    name: str
    token: str
    key: Ed25519PrivateKey

    def application(self, *, key: Ed25519PrivateKey | None = None, **changes: Any) -> SignedStatement:
        key = key or self.key
        enrolment = Enrolment(
            name=self.name, signing_key=key_text(key.public_key()), sealing_key="",
            token_digest=sha256_hex(self.token.encode()),
        )  # fmt: skip
        return sign_statement(key, enrolment.model_copy(update=changes))

    def send(self, enrolment: SignedStatement, token: str | None = None) -> httpx.Response:
        return self.post(EnrolmentRequest(token=token or self.token, enrolment=enrolment).model_dump_json().encode())

    def post(self, body: bytes, media_type: str = "application/json") -> httpx.Response:
        return httpx.post(f"{self.url}/v1/nodes", content=body, headers={"Content-Type": media_type})

    def rows(self) -> list[Any]:
        with self.runtime.db.reading("test") as s:
            nodes = s.execute(select(NodeRow.id, NodeRow.name, NodeRow.signing_key, NodeRow.enrolment)).all()
            tokens = s.execute(select(EnrolmentToken.name, EnrolmentToken.node)).all()
        return sorted(tuple(map(str, row)) for row in [*nodes, *tokens])

    def refuses(self, answer: httpx.Response, kind: P, *words: str) -> None:
        """This answer is a refusal, and tells nobody the token."""
        check_problem(answer.status_code, answer.headers["Content-Type"], answer.content, kind, *words)
        assert self.token not in answer.text


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    clock = TurnedClock()
    with served(tmp_path_factory.mktemp("enrolment"), build, clock=clock) as (runtime, url):
        yield runtime, url, clock


def invited(service: tuple[Any, str, TurnedClock], name: str) -> str:
    with service[0].act("test.invite") as (s, _, now):
        return invite(s, name=name, by="test", lifetime_s=600, now=now)[1]


@pytest.fixture
def door(service, request):
    name = "bank-" + sha256_hex(request.node.name.encode())[:12]
    door = Door(*service, name, invited(service, name), Ed25519PrivateKey.generate())
    yield door
    # Whatever was tried before, the bank that was invited enrols, or has.
    if door.token:
        answer = door.send(door.application())
        assert answer.is_success, answer.text
        transport = HttpTransport(door.url, answer.json()["node"], door.key)
        assert transport.work().items == ()
        transport.client.close()


def test_a_token_that_nobody_made(door):
    for token in ("fce_" + "A" * 43, door.token[:-1], door.token + "A", "x" * 16, door.token.upper()):
        forged = door.application(token_digest=sha256_hex(token.encode()))
        door.refuses(door.send(forged, token), P.ENROLMENT_TOKEN_INVALID, "expected a token made by")


def test_a_token_used_for_another_name(door):
    answer = door.send(door.application(name="another-bank"))
    door.refuses(answer, P.ENROLMENT_TOKEN_INVALID, f"expected an application for {door.name!r}")


def test_an_application_that_was_signed_for_another_token(door, service):
    other = invited(service, f"{door.name}-2")
    answer = door.send(door.application(), other)
    door.refuses(answer, P.ENROLMENT_TOKEN_INVALID, "with this token")


def test_an_application_that_the_key_in_it_has_not_signed(door):
    thief = Ed25519PrivateKey.generate()
    honest = door.application()
    signed = sign_statement(thief, honest.statement)
    door.refuses(door.send(signed), P.STATEMENT_INVALID, "a signature by the named key")
    changed = honest.model_copy(update={"statement": honest.statement.model_copy(update={"sealing_key": "AAAA"})})
    door.refuses(door.send(changed), P.STATEMENT_INVALID, "a signature by the named key")
    door.refuses(door.send(honest.model_copy(update={"signature": "AAA"})), P.STATEMENT_INVALID, "expected")


@pytest.mark.parametrize("size", [0, 31, 33, 3000])
def test_an_application_with_a_key_that_is_none(door, size):
    text = base64.b64encode(b"\0" * size).decode()
    door.refuses(door.send(door.application(signing_key=text)), P.STATEMENT_INVALID, "base64 of 32 bytes")


def test_an_application_of_another_kind(door):
    acceptance = Acceptance(training=f"{0:08}-0000-0000-0000-{0:012}", node=f"{0:08}-0000-0000-0000-{0:012}",
                            plan="0" * 64, sealing_key="")  # fmt: skip
    door.refuses(door.send(sign_statement(door.key, acceptance)), P.STATEMENT_INVALID, "expected tag 'enrolment'")


def test_a_token_used_a_second_time_by_another_key_is_refused_and_the_first_node_stays(door):
    first = door.send(door.application())
    assert first.status_code == 201
    before = door.rows()
    answer = door.send(door.application(key=Ed25519PrivateKey.generate()))
    door.refuses(answer, P.ENROLMENT_TOKEN_INVALID, "expected an unused token")
    # Another application under the same key, and the same again, whose answer was lost.
    assert door.send(door.application()).json() == first.json()
    assert door.send(door.application(sealing_key="AAAA")).json() == first.json()
    assert door.rows() == before


def test_a_second_bank_of_the_same_name_or_key_is_refused(door, service):
    second = Door(*service, door.name, invited(service, door.name), Ed25519PrivateKey.generate())
    third = Door(*service, f"{door.name}-3", invited(service, f"{door.name}-3"), door.key)
    assert door.send(door.application()).status_code == 201
    before = door.rows()
    door.refuses(second.send(second.application()), P.NAME_TAKEN, "a node of this name or with this key")
    door.refuses(third.send(third.application()), P.NAME_TAKEN, "a node of this name or with this key")
    assert door.rows() == before


def test_an_expired_token(door):
    door.clock.ahead_s += 601
    door.refuses(door.send(door.application()), P.ENROLMENT_TOKEN_INVALID, "has expired or was taken back")
    door.clock.ahead_s -= 601


def test_a_token_used_after_the_one_who_used_it_was_removed(door):
    answer = door.send(door.application())
    node = HttpTransport(door.url, answer.json()["node"], door.key)
    with door.runtime.db.transaction("test") as s:
        s.get_one(NodeRow, node.node).removed_at = door.clock.now()
    again = door.send(door.application())
    assert again.json() == answer.json()  # it is told who it is, and may do nothing
    door.refuses(node.send_once("GET", "work", b"", {}, None), P.FORBIDDEN, "was removed by the operator")
    node.client.close()
    door.token = ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", P.VALIDATION), (b"{}", P.VALIDATION), (b"null", P.VALIDATION), (b"\xff" * 100, P.VALIDATION),
        (b"[" * 10_000, P.VALIDATION), (b'{"token":"' + b"x" * 300 + b'"}', P.VALIDATION),
    ],
    ids=["empty", "braces", "null", "ones", "nested", "long"],
)  # fmt: skip
def test_a_body_that_is_no_application(door, body, kind):
    door.refuses(door.post(body), kind)


def test_an_application_that_was_damaged_on_its_way(door):
    whole = EnrolmentRequest(token=door.token, enrolment=door.application()).model_dump_json().encode()
    for size in range(0, len(whole), 37):
        door.refuses(door.post(whole[:size]), P.VALIDATION)
    document = json.loads(whole)
    document["enrolment"]["statement"]["role"] = "admin"
    door.refuses(door.post(json.dumps(document).encode()), P.VALIDATION, "role")
    door.refuses(door.post(whole, "text/plain"), P.UNSUPPORTED_MEDIA, "application/json")
    door.refuses(door.post(b" " * (8 << 20) + whole), P.TOO_LARGE, "expected at most")
