"""Attacks on who may do what: every address under every credential that is not enough; tokens that are no more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from consortium.access.service import Role, create_token
from consortium.http.app import declared_routes
from consortium.http.route import Access, BodyKind, Route
from protocol.problems import ProblemType as P
from tests.adversarial.world import BINARY, JSON, Upload, check_problem, token_of
from tests.common.direct_service import TurnedClock
from tests.common.http_service import HttpTransport, enrol_bank, served
from tests.common.tables_learning import build

ROUTES = [route for route in declared_routes() if route.access is not Access.PUBLIC]
RANK = {Access.VIEWER: 0, Access.NODE_OR_VIEWER: 0, Access.OPERATOR: 1, Access.ADMIN: 2}
SOME = {"training": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "round": "0", "attempt": "0", "assignment": "0"}
SOME |= dict.fromkeys(("recipient", "dealer", "token"), SOME["training"])
SOME |= dict.fromkeys(("node", "model", "name"), "some")


@dataclass
class Service:
    folder: Path
    runtime: Any
    url: str
    clock: TurnedClock
    node: HttpTransport
    tokens: dict[Role, str]
    made: list[str]

    def make(self, role: Role, **options: Any) -> tuple[str, str]:
        """A token of this role: its id and itself."""
        with self.runtime.act("test.token") as (s, _, now):
            row, token = create_token(s, name="another", role=role, by="test", now=now, **options)
        self.made.append(token)
        return row.id, token

    def call(self, method: str, path: str, token: str | None, body: bytes = b"", **headers: str) -> httpx.Response:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.request(method, f"{self.url}/v1/{path}", content=body, headers=headers)

    def ask(self, route: Route, token: str | None) -> httpx.Response:
        upload = request_to(route)
        return self.call(upload.method, upload.path, token, upload.body, **upload.headers)


def request_to(route: Route) -> Upload:
    """A request that gets as far as to be asked who makes it."""
    path = re.sub(r"\{(\w+)\}", lambda match: SOME[match[1]], route.path).removeprefix("/v1/")
    headers = {BodyKind.JSON: JSON, BodyKind.BINARY: BINARY, BodyKind.NONE: {}}[route.body]
    return Upload(path, b"" if route.body is BodyKind.NONE else b"{}", headers, route.method)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder, clock = tmp_path_factory.mktemp("roles"), TurnedClock()
    with served(folder, build, clock=clock) as (runtime, url):
        service = Service(folder, runtime, url, clock, enrol_bank(runtime, url, "bank"), {}, [])
        service.tokens |= {role: service.make(role)[1] for role in Role}
        yield service
        service.node.client.close()


def refused(answer: httpx.Response, kind: P, *words: str) -> None:
    check_problem(answer.status_code, answer.headers["Content-Type"], answer.content, kind, *words)


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_who_does_not_say_who_asks_is_refused(service, route):
    answer = service.ask(route, None)
    refused(answer, P.NOT_AUTHENTICATED, "bearer token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    refused(service.ask(route, "fco_" + "A" * 43), P.NOT_AUTHENTICATED, "unknown, expired or revoked")
    refused(service.ask(route, "fco_"), P.NOT_AUTHENTICATED, "unknown, expired or revoked")
    refused(service.ask(route, "fce_" + "A" * 43), P.NOT_AUTHENTICATED)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.access in {Access.OPERATOR, Access.ADMIN}], ids=named
)
def test_a_role_that_is_too_low_is_refused(service, route):
    for role in Role:
        if list(Role).index(role) < RANK[route.access]:
            refused(service.ask(route, service.tokens[role]), P.FORBIDDEN, f"expected a token of role {route.access}")


@pytest.mark.parametrize("route", [route for route in ROUTES if route.access in RANK], ids=named)
def test_a_node_is_refused_where_an_operator_is_asked_for(service, route):
    if route.access is Access.NODE_OR_VIEWER:
        pytest.skip("a node may")
    answer = service.ask(route, token_of(service.node, request_to(route)))
    refused(answer, P.FORBIDDEN, "got a node's signature")


@pytest.mark.parametrize("route", [route for route in ROUTES if route.access is Access.NODE], ids=named)
def test_an_operator_is_refused_where_a_node_is_asked_for(service, route):
    for role in Role:
        refused(service.ask(route, service.tokens[role]), P.FORBIDDEN, "got an operator's token")


def test_a_revoked_token_is_refused_at_once(service):
    identifier, token = service.make(Role.ADMIN)
    assert service.call("GET", "me", token).is_success
    assert service.call("DELETE", f"tokens/{identifier}", service.tokens[Role.ADMIN]).is_success
    refused(service.call("GET", "me", token), P.NOT_AUTHENTICATED, "revoked")
    refused(service.call("GET", "tokens", token), P.NOT_AUTHENTICATED, "revoked")


def test_an_expired_token_is_refused(service):
    _, token = service.make(Role.ADMIN, lifetime_s=30)
    assert service.call("GET", "me", token).is_success
    service.clock.ahead_s += 31
    refused(service.call("GET", "me", token), P.NOT_AUTHENTICATED, "expired")


def test_a_token_that_is_nearly_right_is_refused(service):
    token = service.tokens[Role.ADMIN]
    for near in (token[:-1], token + "A", token.upper(), token.replace("fco_", "FCO_"), token[:-1] + "%", f"{token},x"):
        refused(service.call("GET", "me", near), P.NOT_AUTHENTICATED)


def test_an_operator_makes_no_token_and_removes_no_node(service):
    # An operator's token that is stolen must not make itself an administrator.
    body = b'{"name":"mine","role":"admin"}'
    answer = service.call("POST", "tokens", service.tokens[Role.OPERATOR], body, **JSON)
    refused(answer, P.FORBIDDEN, "role admin", "role operator")
    refused(service.call("DELETE", "nodes/bank", service.tokens[Role.OPERATOR]), P.FORBIDDEN, "role admin")
    assert service.node.work().items == ()


def test_no_token_lies_in_the_database_or_in_any_answer(service):
    admin = service.tokens[Role.ADMIN]
    made = service.call("POST", "tokens", admin, b'{"name":"new","role":"viewer"}', **JSON).json()["token"]
    invited = service.call("POST", "nodes/invitations", admin, b'{"name":"bank-9"}', **JSON).json()["token"]
    tokens = [made, invited, *service.made]
    kept = b"".join(path.read_bytes() for path in service.folder.rglob("*") if path.is_file())
    shown = b"".join(service.call("GET", path, admin).content for path in ("tokens", "nodes", "me"))
    assert b"another" in kept
    assert b"another" in shown
    for token in tokens:
        assert len(token) == 4 + 43
        assert token.encode() not in kept
        assert token[4:].encode() not in kept
        assert token[4:].encode() not in shown
