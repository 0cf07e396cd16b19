"""One request, read and checked: what a handler sees."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import ClientDisconnected

from consortium.http.errors import (
    BodyDigestWrong,
    BodyTooLarge,
    BodyUnreadable,
    FieldInvalid,
    LengthMissing,
    MediaTypeWrong,
)
from consortium.http.route import BodyKind, Route
from consortium.lru_cache import LRUCache
from consortium.rounds.service import Body
from consortium.runtime import Runtime
from consortium.settings import Settings
from protocol.findings import explained, fields_in
from protocol.messages import STATEMENT_HEADER
from protocol.request_auth import body_digest
from protocol.statements import SignedStatement

_PIECE_BYTES = 1 << 20
#: For so many fields is looked what may have been meant: a body may have a million that there are not.
_MEANT = 8
_MAX_STATEMENT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Operator:
    """A person or program with a token.

    Attributes:
        token: the token's id.
        name: what the token was made for; stands in the record of what was done.
        role: viewer, operator or admin.
    """

    token: str
    name: str
    role: str


@dataclass
class Call:
    """A request on its way to its handler.

    Attributes:
        runtime: what the service works with.
        settings: the service's settings.
        route: the declaration that matched.
        path: the path's parameters, checked.
        query: the query parameters, as the route's model.
        body: the JSON body, as the route's model.
        upload: the binary body.
        statement: the statement that signs the binary body.
        node: the calling node's id; empty for operators.
        operator: the calling operator.
    """

    runtime: Runtime
    settings: Settings
    route: Route
    path: dict[str, str]
    query: Any
    body: Any = None
    upload: Body | None = None
    statement: SignedStatement | None = None
    node: str = ""
    operator: Operator | None = None

    def number(self, name: str) -> int:
        """A path parameter that is a number."""
        return int(self.path[name])

    @property
    def actor(self) -> str:
        """Who acts, for the record."""
        return self.operator.name if self.operator else f"node {self.node}"


@dataclass(frozen=True, slots=True)
class Received:
    """A body that was read whole.

    Attributes:
        sha256: of its bytes.
        data: a JSON body's bytes.
        upload: a binary body.
    """

    sha256: bytes
    data: bytes = b""
    upload: Body | None = None


def declared_length(request: Request, route: Route, settings: Settings) -> int:
    """The body's length, before any of it is read.

    Raises:
        LengthMissing, BodyTooLarge, MediaTypeWrong: as they say.
    """
    if route.body is BodyKind.NONE:
        if request.headers.get("Transfer-Encoding"):
            raise LengthMissing(f"{route.method} {route.path}: expected no body, got one of unknown length")
        if request.content_length:
            raise BodyTooLarge(f"{route.method} {route.path}: expected no body, got {request.content_length} bytes")
        return 0
    if request.content_length is None or request.headers.get("Transfer-Encoding"):
        raise LengthMissing(f"{route.method} {route.path}: expected a Content-Length, got none")
    limit = settings.max_json_bytes if route.body is BodyKind.JSON else settings.max_upload_bytes
    if request.content_length > limit:
        raise BodyTooLarge(f"{route.method} {route.path}: expected at most {limit} bytes, got {request.content_length}")
    wanted = "application/json" if route.body is BodyKind.JSON else "application/octet-stream"
    if request.mimetype != wanted:
        raise MediaTypeWrong(f"{route.method} {route.path}: expected {wanted}, got {request.mimetype or 'no type'}")
    return request.content_length


def receive(request: Request, route: Route, length: int, runtime: Runtime, settings: Settings) -> Received:
    """Reads the body; a large upload goes to the blob store while it is hashed.

    Raises:
        BodyUnreadable: it ends before its declared length.
    """
    if route.body is BodyKind.BINARY and length > settings.check_at_once_bytes:
        return _receive_large(request, length, runtime)
    data = b"".join(_pieces(request, length))
    sha256 = hashlib.sha256(data).digest()
    if route.body is BodyKind.BINARY and length > settings.inline_bytes:
        key = _upload_key(sha256.hex())
        runtime.blobs.put(key, data)
        return Received(sha256, upload=Body(sha256.hex(), length, blob=key, held=data))
    if route.body is BodyKind.BINARY:
        return Received(sha256, upload=Body(sha256.hex(), length, inline=data, held=data))
    return Received(sha256, data=data)


def _receive_large(request: Request, length: int, runtime: Runtime) -> Received:
    digest = hashlib.sha256()
    writer = runtime.blobs.writer()
    try:
        for piece in _pieces(request, length):
            digest.update(piece)
            writer.write(piece)
        name = digest.hexdigest()
        key = _upload_key(name)
        writer.commit(key)
    finally:
        writer.abort()
    return Received(digest.digest(), upload=Body(name, length, blob=key))


def _pieces(request: Request, length: int) -> Iterator[bytes]:
    left = length
    while left:
        try:
            piece = request.stream.read(min(left, _PIECE_BYTES))
        except ClientDisconnected:
            piece = b""
        if not piece:
            raise BodyUnreadable(f"body: expected {length} bytes, got fewer")
        yield piece
        left -= len(piece)


def _upload_key(digest: str) -> str:
    return f"uploads/{digest[:2]}/{digest}"


def require_signed_body(claimed: str, sha256: bytes) -> None:
    """Compares the digest in a signed request with the body that came.

    Raises:
        BodyDigestWrong: they differ.
    """
    if claimed != body_digest(sha256):
        raise BodyDigestWrong("body: expected the bytes that the request's signature names, got others")


def parse_body(model: type[BaseModel], data: bytes) -> BaseModel:
    """A JSON body as a model.

    Raises:
        FieldInvalid: every field that is not as it should be.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise field_errors("body", error, known=fields_in(model.model_json_schema())) from error


# Nodes ask for the same few things over and over.
_QUERIES: LRUCache[BaseModel] = LRUCache(256)


def parse_query(model: type[BaseModel], request: Request, settings: Settings) -> BaseModel:
    """The query parameters as a model; each at most once. A `wait` is cut to the longest that this service allows.

    Raises:
        FieldInvalid: every parameter that is not as it should be.
    """
    query = _QUERIES.get((model, request.query_string), lambda: _parse_query(model, request))
    wait = getattr(query, "wait", None)
    if wait is None or wait <= settings.max_wait_s:
        return query
    return query.model_copy(update={"wait": settings.max_wait_s})


def _parse_query(model: type[BaseModel], request: Request) -> BaseModel:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise FieldInvalid("query: a parameter is given twice", [{"field": repeated[0], "message": "given twice"}])
    try:
        return model.model_validate_strings(request.args.to_dict())
    except ValidationError as error:
        raise field_errors("query", error) from error


def parse_statement(request: Request) -> SignedStatement:
    """The statement that came in the header.

    Raises:
        FieldInvalid: there is none, or it is not one.
    """
    text = request.headers.get(STATEMENT_HEADER, "")
    if not text or len(text) > _MAX_STATEMENT_BYTES:
        raise FieldInvalid(
            f"header {STATEMENT_HEADER}: expected a signed statement in base64, got {len(text)} characters",
            [{"field": STATEMENT_HEADER, "message": "missing or too long"}],
        )
    try:
        return SignedStatement.model_validate_json(base64.b64decode(text, validate=True))
    except ValidationError as error:
        raise field_errors(f"header {STATEMENT_HEADER}", error) from error
    except (ValueError, binascii.Error) as error:
        raise FieldInvalid(
            f"header {STATEMENT_HEADER}: expected base64 of JSON, got something else",
            [{"field": STATEMENT_HEADER, "message": "not base64"}],
        ) from error


def field_errors(where: str, error: ValidationError, known: Iterable[str] = ()) -> FieldInvalid:
    """Pydantic's findings, without the values that were sent; `known` are the fields that there are."""
    fields = [
        {
            "field": ".".join(str(part) for part in finding["loc"]) or where,
            "message": explained(finding, known=known if n < _MEANT else ()),
        }
        for n, finding in enumerate(error.errors(include_url=False, include_input=False))
    ]
    first = fields[0]
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    place = where if first["field"] == where else f"{where}: {first['field']}"
    return FieldInvalid(f"{place}: {first['message']}{more}", fields)
