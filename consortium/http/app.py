"""The Flask application: every declared route behind the same door."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog
from flask import Flask, Request, Response, request
from pydantic import BaseModel, TypeAdapter, ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from werkzeug.exceptions import HTTPException

from consortium.access.replay import ReplayGuard
from consortium.access.routes import routes as access_routes
from consortium.blobs import BlobsUnavailable
from consortium.http import call as calls
from consortium.http.authenticate import Authenticator
from consortium.http.call import Call
from consortium.http.docs_page import page
from consortium.http.errors import FieldInvalid
from consortium.http.openapi import document
from consortium.http.problems import FORESEEN, respond, respond_to
from consortium.http.route import BodyKind, Route
from consortium.members.routes import routes as member_routes
from consortium.models.routes import routes as model_routes
from consortium.plans.routes import routes as plan_routes
from consortium.rounds.routes import routes as round_routes
from consortium.runtime import Runtime
from consortium.settings import Settings
from consortium.storage.routes import routes as storage_routes
from consortium.trainings.node_routes import routes as node_routes
from consortium.trainings.operator_routes import routes as training_routes
from protocol.ids import DigestHex, Name, UUIDText
from protocol.problems import ProblemType

log = structlog.get_logger("consortium.http")

_SMALL_BYTES = 1 << 20
_NUMBER = re.compile(r"\d{1,9}\Z")
_NUMBERS = {"round", "attempt", "assignment"}
_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {
    "training": TypeAdapter(UUIDText),
    "recipient": TypeAdapter(UUIDText),
    "dealer": TypeAdapter(UUIDText),
    "token": TypeAdapter(UUIDText),
    "node": TypeAdapter(Name),  # an id or a name
    "model": TypeAdapter(Name | DigestHex),  # an id, a name, or a digest
    "name": TypeAdapter(Name),
}


def declared_routes() -> list[Route]:
    """Every route of the API."""
    subjects = (
        member_routes, plan_routes, training_routes, node_routes, round_routes, model_routes, access_routes,
        storage_routes,
    )  # fmt: skip
    return [route for subject in subjects for route in subject.declared]


def create_app(runtime: Runtime, settings: Settings) -> Flask:
    """The application.

    Args:
        runtime: what the service works with; opened and closed by the caller.
        settings: the service's settings.
    """
    here = str(Path(__file__).parent)
    app = Flask(__name__, static_folder=None, template_folder=None, root_path=here, instance_path=here)
    door = Authenticator(runtime, ReplayGuard(runtime.clock, settings.redis))
    routes = declared_routes()
    for route in routes:
        rule = re.sub(r"\{(\w+)\}", r"<\1>", route.path)
        view = _view(route, runtime, settings, door)
        app.add_url_rule(rule, f"{route.method} {route.path}", view, methods=[route.method])
    _add_documents(app, routes)
    app.register_error_handler(HTTPException, _http_problem)
    for away in (OperationalError, NoConnectionLeft, RedisError):
        app.register_error_handler(away, _away)
    app.register_error_handler(Exception, _failure)
    return app


def _view(route: Route, runtime: Runtime, settings: Settings, door: Authenticator) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        try:
            call = _read(route, path, runtime, settings, door)
            answer = route.handler(call)
        except FORESEEN as error:
            if isinstance(error, BlobsUnavailable):
                log.warning("blobs:unavailable", method=request.method, path=request.path, error=str(error))
            return _unread(respond_to(error))
        return _answer(route, answer)

    return view


def _unread(response: Response) -> Response:
    """A refused upload is not read to its end: the connection is closed instead."""
    if (request.content_length or 0) > _SMALL_BYTES:
        response.headers["Connection"] = "close"
    return response


def _read(route: Route, path: dict[str, str], runtime: Runtime, settings: Settings, door: Authenticator) -> Call:
    """Checks everything about a request in the order of its cost: length, who, parameters, then the body."""
    # Itself: the name that stands for it looks it up at every use.
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's own way
    length = calls.declared_length(asked, route, settings)
    claims, operator = door.authenticate(asked, route.access)
    call = Call(
        runtime, settings, route, _checked_path(path), calls.parse_query(route.query, asked, settings),
        node=claims.iss if claims else "", operator=operator,
    )  # fmt: skip
    if route.signed:
        call.statement = calls.parse_statement(asked)
    received = calls.receive(asked, route, length, runtime, settings)
    if claims is not None:
        calls.require_signed_body(claims.bdg, received.sha256)
    call.upload = received.upload
    if route.body is BodyKind.JSON and route.request is not None:
        call.body = calls.parse_body(route.request, received.data)
    return call


def _checked_path(path: dict[str, str]) -> dict[str, str]:
    for name, value in path.items():
        if name in _NUMBERS:
            if not _NUMBER.match(value):
                raise FieldInvalid(f"path: {name}: expected a number", [{"field": name, "message": "not a number"}])
            continue
        try:
            _ADAPTERS[name].validate_python(value)
        except ValidationError as error:
            raise calls.field_errors(f"path: {name}", error) from error
    return path


def _answer(route: Route, answer: BaseModel | bytes | None) -> Response:
    if isinstance(answer, bytes):
        return Response(answer, status=route.status, content_type="application/octet-stream")
    if answer is None:
        return Response(status=204)
    return Response(answer.model_dump_json(), status=route.status, content_type="application/json")


def _add_documents(app: Flask, routes: Iterable[Route]) -> None:
    openapi = document(list(routes))

    @app.get("/v1/openapi.json")
    def _openapi() -> Response:
        return Response(openapi, content_type="application/json")

    shown: list[str] = []

    @app.get("/docs")
    def _docs() -> Response:
        if not shown:
            shown.append(page(openapi))
        return Response(shown[0], content_type="text/html; charset=utf-8")

    @app.get("/")
    def _root() -> Response:
        return Response(status=302, headers={"Location": "/docs"})

    @app.get("/health")
    def _health() -> Response:
        return Response('{"status":"ok"}', content_type="application/json")


def _http_problem(error: HTTPException) -> Response:
    kinds = {404: ProblemType.NOT_FOUND, 405: ProblemType.METHOD_NOT_ALLOWED, 413: ProblemType.TOO_LARGE}
    response = respond(kinds.get(error.code or 0, ProblemType.BAD_REQUEST), error.description or "no such thing")
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _away(error: Exception) -> Response:
    """The database or the broker does not answer, or has just ended the connection: every client may try again."""
    log.warning("backend:away", method=request.method, path=request.path, error=type(error).__name__)
    return respond(ProblemType.UNAVAILABLE, "the service's database or broker does not answer; try again in a moment")


def _failure(error: Exception) -> Response:
    log.error("request failed", method=request.method, path=request.path, exc_info=error)
    return respond(ProblemType.INTERNAL, "the service failed on this request; its log says why")
