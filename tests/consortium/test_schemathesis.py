"""The service against its own OpenAPI document: schemathesis makes requests from it, right and wrong ones, and holds
every answer to it. Real HTTP, a real database with a finished training and one that waits for its banks.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from consortium.access.service import Role, create_token
from consortium.http.app import declared_routes
from consortium.http.openapi import document
from consortium.http.route import Access, Route
from consortium.plans.service import create_plan
from protocol.messages import STATEMENT_HEADER
from protocol.request_auth import sign_request
from protocol.signing import sign_statement
from protocol.statements import ContributionStatement
from tests.common.http_service import HttpTransport, enrol_bank, served
from tests.common.http_training import run_training, small_plan, start
from tests.common.tables_learning import build

ROUTES = declared_routes()
NODE_ROUTES = [route for route in ROUTES if route.access in {Access.NODE, Access.NODE_OR_VIEWER}]
EXAMPLES = 40
load_all_checks()
HELD = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
     "response_headers_conformance", "negative_data_rejection"]
)  # fmt: skip
PLAN = small_plan("none", "again").model_dump(mode="json")


class AsNode(requests.auth.AuthBase):
    """Signs each request as a node does."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    def __call__(self, request: Any) -> Any:
        body = request.body or b""
        token = sign_request(
            self._transport.key, node=self._transport.node, method=request.method, target=request.path_url,
            sha256=hashlib.sha256(body.encode() if isinstance(body, str) else body).digest(), now_s=time.time(),
        )  # fmt: skip
        request.headers["Authorization"] = f"Bearer {token}"
        return request


class AsOperator(requests.auth.AuthBase):
    """An administrator's token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass
class World:
    """A service with something in it."""

    url: str
    schema: Any
    operator: AsOperator
    node: AsNode
    known: dict[str, list[str]]
    statement: str


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with served(tmp_path_factory.mktemp("service"), build, max_wait_s=0.02) as (runtime, url):
        training, banks = run_training(runtime, url, "none")
        spare = enrol_bank(runtime, url, "spare")
        with runtime.act("test.seed") as (s, _, now):
            _, token = create_token(s, name="admin", role=Role.ADMIN, by="test", now=now)
            other, _ = create_token(s, name="other", role=Role.VIEWER, by="test", now=now)
            create_plan(s, small_plan("none"), by="test", now=now)
        waiting = start(runtime, small_plan("none"))
        known = {
            "training": [training.id, waiting], "recipient": [banks[0].node], "dealer": [banks[1].node],
            "token": [other.id], "node": ["spare", spare.node], "model": ["tables", training.id, training.model_digest],
            "name": ["tables"], "round": ["0", "1", "999"], "attempt": ["0", "1"], "assignment": ["0"],
        }  # fmt: skip
        schema = schemathesis.openapi.from_dict(json.loads(document(ROUTES)))
        schema.config.generation.update(with_security_parameters=False)  # the callers below bring their own
        contribution = ContributionStatement(
            training=training.id, round=0, node=banks[0].node, query="0" * 64, history="0" * 64, digest="0" * 64,
            size_bytes=8,
        )  # fmt: skip
        statement = sign_statement(banks[0].key, contribution).to_header()
        yield World(url, schema, AsOperator(token), AsNode(banks[0].transport), known, statement)
        for transport in (spare, *(bank.transport for bank in banks)):
            transport.client.close()


def cases(world: World, route: Route) -> st.SearchStrategy[Case]:
    """Requests to an address: half as the document says, mostly about things that exist; half not."""
    operation = world.schema[route.path][route.method]
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    named = st.fixed_dictionaries({name: st.sampled_from(found) for name, found in world.known.items()})

    def about(case: Case, names: dict[str, str], whole: bool) -> Case:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = names[name]
        if route.signed and whole:
            case.headers[STATEMENT_HEADER] = world.statement
        if route.path == "/v1/trainings" and whole:
            case.body = {"plan": "tables"}
        elif route.path.startswith("/v1/plans") and isinstance(case.body, dict):
            case.body = PLAN | {"name": names["name"]} | ({} if whole else case.body)
        return case

    return st.one_of(st.builds(about, right, named, st.booleans()), right, wrong)


def hold(world: World, route: Route, caller: requests.auth.AuthBase) -> set[int]:
    """Holds the answers of an address to the document; their statuses."""
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases(world, route))
    def check(case: Case) -> None:
        response = case.call(base_url=world.url, auth=caller, timeout=10)
        case.validate_response(response, checks=HELD)
        statuses.add(response.status_code)

    check()
    return statuses


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_an_operator_is_answered_is_what_the_document_says(world, route):
    statuses = hold(world, route, world.operator)
    if route.access is Access.NODE:
        assert statuses == {403}
    elif route.access is not Access.PUBLIC:  # what exists was reached, whether or not it was in the right state
        assert statuses & {route.status, 409}


@pytest.mark.parametrize("route", NODE_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_a_node_is_answered_is_what_the_document_says(world, route):
    statuses = hold(world, route, world.node)
    assert 403 not in statuses
    assert statuses & {200, 400, 409, 422}  # it got past the door
