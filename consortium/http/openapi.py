"""The OpenAPI 3.1 document, made of the declarations that requests are checked against."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from consortium.http.route import Access, BodyKind, Route
from protocol.messages import STATEMENT_HEADER
from protocol.problems import MEDIA_TYPE, Problem
from protocol.version import API_PREFIX, PROTOCOL_VERSION

_REFERENCE = "#/components/schemas/{model}"
_PATTERNS = {
    "training": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "round": r"^[0-9]{1,9}$",
}
_PATTERNS |= dict.fromkeys(("recipient", "dealer"), _PATTERNS["training"])
_PATTERNS |= dict.fromkeys(("attempt", "assignment"), _PATTERNS["round"])
_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_PATTERNS["model"] = rf"{_NAME}|^[0-9a-f]{{64}}$"


def document(routes: list[Route]) -> str:
    """The document as JSON.

    Args:
        routes: every declared route.
    """
    models = {model for route in routes for model in (route.request, route.response) if model is not None} | {Problem}
    ordered = sorted(models, key=lambda model: model.__name__)
    references, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_REFERENCE)
    named = {model: references[model, "validation"] for model in ordered}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, named)
    components = {
        "schemas": schemas.get("$defs", {}),
        "securitySchemes": {
            "operator": {"type": "http", "scheme": "bearer", "description": "A token of `consortium token create`."},
            "node": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "An EdDSA JWT bound to method, path with query, and the body's SHA-256; lives a minute.",
            },
        },
    }
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Fraud consortium",
                "version": f"{API_PREFIX.removeprefix('/')}.{PROTOCOL_VERSION}",
                "description": "Errors are problem documents (RFC 9457): act on `type`, show `detail`.",
            },
            "paths": paths,
            "components": components,
        },
        indent=1,
    )


def _operation(route: Route, named: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)] + _query_parameters(route)
    if route.signed:
        parameters.append(
            {
                "name": STATEMENT_HEADER,
                "in": "header",
                "required": True,
                "description": "Base64 of the SignedStatement over the body.",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$"},
            }
        )
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.tag}_{getattr(route.handler, '__name__', 'handle')}",
        "tags": [route.tag],
        "security": _security(route.access),
        "responses": _responses(route, named),
    }
    if parameters:
        operation["parameters"] = parameters
    if route.body is BodyKind.JSON and route.request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": named[route.request]}}}
    elif route.body is BodyKind.BINARY:
        binary = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": binary}}}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": _PATTERNS.get(name, _NAME)},
    }


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = route.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]


def _security(access: Access) -> list[dict[str, list[str]]]:
    if access is Access.PUBLIC:
        return []
    if access is Access.NODE:
        return [{"node": []}]
    if access is Access.NODE_OR_VIEWER:
        return [{"node": []}, {"operator": []}]
    return [{"operator": []}]


def _responses(route: Route, named: dict[type[BaseModel], dict[str, Any]]) -> dict[str, Any]:
    if route.binary_response:
        binary = {"type": "string", "format": "binary"}
        success = {"description": "The bytes.", "content": {"application/octet-stream": {"schema": binary}}}
    elif route.response is not None:
        success = {"description": "Done.", "content": {"application/json": {"schema": named[route.response]}}}
    else:
        success = {"description": "Done; no content."}
    problem = {"description": "A problem document.", "content": {MEDIA_TYPE: {"schema": named[Problem]}}}
    status = str(route.status if route.response is not None or route.binary_response else 204)
    return {status: success, "4XX": problem, "5XX": problem}
