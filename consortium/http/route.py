"""How a subject declares its addresses: method, path, who may call, what comes in, what goes out.

The declaration is what the request is checked against and what the OpenAPI document is made of; there is no second one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Access(StrEnum):
    """Who may call."""

    PUBLIC = "public"
    NODE = "node"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    #: A node, or an operator's token of any role.
    NODE_OR_VIEWER = "node-or-viewer"


class BodyKind(StrEnum):
    """What a request carries."""

    NONE = "none"
    JSON = "json"
    BINARY = "binary"


class Query(BaseModel):
    """Base of the models of query parameters: unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WaitQuery(Query):
    """`?wait=SECONDS`: how long the answer may wait for the next thing that the caller owes."""

    wait: float | None = Field(default=None, ge=0, le=60)


#: A handler takes the call and returns a model, bytes, or nothing.
Handler = Callable[[Any], BaseModel | bytes | None]


@dataclass(frozen=True)
class Route:
    """One address.

    Attributes:
        method: upper case.
        path: with parameters in braces, e.g. ``/v1/trainings/{training}``.
        access: who may call.
        handler: called with a `Call`.
        summary: one line for the document.
        tag: the subject.
        body: what the request carries.
        request: the model of a JSON body.
        query: the model of the query parameters.
        response: the model of the answer; None for bytes or nothing.
        binary_response: whether the answer is bytes.
        signed: whether a binary body comes with a statement in its header.
        status: of success.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    tag: str
    body: BodyKind = BodyKind.NONE
    request: type[BaseModel] | None = None
    query: type[BaseModel] = Query
    response: type[BaseModel] | None = None
    binary_response: bool = False
    signed: bool = False
    status: int = 200


@dataclass
class Routes:
    """A subject's addresses.

    Attributes:
        tag: the subject's name in the document.
        declared: in the order of declaration.
    """

    tag: str
    declared: list[Route] = field(default_factory=list)

    def add(
        self, method: str, path: str, *, access: Access, request: type[BaseModel] | None = None, binary: bool = False,
        signed: bool = False, query: type[BaseModel] = Query, response: type[BaseModel] | None = None,
        binary_response: bool = False, status: int = 200,
    ) -> Callable[[Handler], Handler]:  # fmt: skip
        """Declares the decorated function as the handler of an address; its docstring's first line is the summary."""
        body = BodyKind.JSON if request is not None else BodyKind.BINARY if binary else BodyKind.NONE

        def declare(handler: Handler) -> Handler:
            summary = (handler.__doc__ or "").strip().splitlines()[0]
            self.declared.append(
                Route(
                    method, path, access, handler, summary, self.tag, body, request, query, response, binary_response,
                    signed, status,
                )
            )  # fmt: skip
            return handler

        return declare
