"""Attacks on the requests themselves, for everything that a node sends, at the moment when the service would take it:
the signature around a request, who may make it, and its length.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import time
import uuid
from dataclasses import dataclass, replace

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consortium.access.service import Role
from protocol.problems import ProblemType as P
from tests.adversarial.world import (
    KINDS,
    Upload,
    World,
    capture,
    check_problem,
    claims_of,
    running_world,
    token_of,
)
from tests.common.small_bank import SmallBank

JSON_KINDS = {"acceptance", "refusal", "complaint", "deal", "receipt", "vote", "model"}


@dataclass
class Held:
    """An upload that was captured on its way, and who sent it."""

    world: World
    kind: str
    bank: SmallBank
    upload: Upload

    def refused(self, token: str | None, kind: P, *words: str, upload: Upload | None = None) -> None:
        with self.world.unchanged():
            answer = self.world.send_with(upload or self.upload, token)
        self.world.check_refusal(answer, kind, *words)

    @property
    def other(self) -> SmallBank:
        """Another bank of the training."""
        return next(bank for bank in self.world.banks if bank is not self.bank)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running_world(tmp_path_factory.mktemp("uploads"), agreement=True) as world:
        yield world


@pytest.fixture(scope="module", params=KINDS)
def held(world, request):
    held = Held(world, request.param, *capture(world, request.param))
    yield held
    # Whatever was tried: the honest request is taken, or was.
    answer = world.send(held.bank, held.upload)
    assert answer.is_success, answer.text
    if held.kind == "farewell":
        held.bank.ended = held.bank.ended or object()


# The signature around the request.


def test_without_a_token(held):
    held.refused(None, P.NOT_AUTHENTICATED, "bearer token")


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30", "....", "é.é.é", "fco_" + "A" * 43])
def test_under_something_that_is_no_token(held, token):
    held.refused(token, P.NOT_AUTHENTICATED)


def test_under_a_token_that_is_nested_deeper_than_a_parser_goes(held):
    nested = base64.urlsafe_b64encode(b"[" * 4000).rstrip(b"=").decode()
    header = base64.urlsafe_b64encode(b'{"alg":"EdDSA"}').rstrip(b"=").decode()
    held.refused(f"{header}.{nested}.AAAA", P.NOT_AUTHENTICATED)
    payload = base64.urlsafe_b64encode(json.dumps({"iss": held.bank.node}).encode()).rstrip(b"=").decode()
    held.refused(f"{nested}.{payload}.AAAA", P.NOT_AUTHENTICATED)


@pytest.mark.parametrize("issuer", ["nobody", "\0", "\ud800", "' OR 1=1 --", 7, None, ["x"]])
def test_under_a_token_of_somebody_who_cannot_be(held, issuer):
    claims = claims_of("", held.upload) | {"iss": issuer}
    parts = ({"alg": "EdDSA", "typ": "JWT"}, claims)
    head, payload = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    held.refused(f"{head}.{payload}.AAAA", P.NOT_AUTHENTICATED)


def test_under_the_token_of_a_node_that_is_not_enrolled(held):
    token = jwt.encode(claims_of(str(uuid.uuid4()), held.upload), Ed25519PrivateKey.generate(), algorithm="EdDSA")
    held.refused(token, P.NOT_AUTHENTICATED, "enrolled")


def test_signed_by_another_bank_in_this_banks_name(held):
    token = jwt.encode(claims_of(held.bank.node, held.upload), held.other.key, algorithm="EdDSA")
    held.refused(token, P.NOT_AUTHENTICATED, "Signature verification failed")


def test_unsigned(held):
    held.refused(jwt.encode(claims_of(held.bank.node, held.upload), None, algorithm="none"), P.NOT_AUTHENTICATED)


def test_authenticated_with_the_public_key_as_a_shared_secret(held):
    public = held.bank.key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret in (public.public_bytes_raw(), pem, held.bank.signing_key.encode()):
        parts = ({"alg": "HS256", "typ": "JWT"}, claims_of(held.bank.node, held.upload))
        signed = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        tag = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
        held.refused(f"{signed}.{tag}", P.NOT_AUTHENTICATED)


def test_under_an_expired_token(held):
    then = int(time.time()) - 200
    held.refused(token_of(held.bank.transport, held.upload, iat=then, exp=then + 60), P.STALE_TOKEN, "sign it again")


def test_under_a_token_from_before_the_service_was_started(held):
    # Not expired yet, but the memory of what was seen does not reach back to it.
    then = int(held.world.started) - 10
    token = token_of(held.bank.transport, held.upload, iat=then, exp=int(time.time()) + 5)
    if int(time.time()) + 5 - then <= 60:  # the service has run for less than a token's life
        held.refused(token, P.STALE_TOKEN, "before the service was started")
    else:
        held.refused(token, P.NOT_AUTHENTICATED, "lives longer")


@pytest.mark.parametrize("claims", [{"iat": 300, "exp": 360}, {"nbf": 300}], ids=str)
def test_under_a_token_dated_in_the_future(held, claims):
    then = {name: int(time.time()) + ahead_s for name, ahead_s in claims.items()}
    held.refused(signed_with(held, then), P.STALE_TOKEN, "signed in the future")


def test_under_a_token_that_lives_too_long(held):
    token = token_of(held.bank.transport, held.upload, exp=int(time.time()) + 86_400)
    held.refused(token, P.NOT_AUTHENTICATED, "lives longer")


@pytest.mark.parametrize("claim", ["iss", "aud", "iat", "exp", "jti", "htm", "htu", "bdg"])
def test_under_a_token_without_a_claim(held, claim):
    held.refused(token_of(held.bank.transport, held.upload, **{claim: None}), P.NOT_AUTHENTICATED)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-service"}, {"iat": float("inf")}, {"exp": float("inf")}, {"exp": [1]}, {"jti": "x"},
        {"htu": "\ud800"}, {"htm": "\ud800"}, {"bdg": 1}, {"admin": True},
    ],
    ids=str,
)  # fmt: skip
def test_under_a_token_with_a_claim_that_means_nothing(held, claims):
    held.refused(signed_with(held, claims), P.NOT_AUTHENTICATED)


def signed_with(held, claims):
    """The bank's own token, with other claims."""
    parts = ({"alg": "EdDSA", "typ": "JWT"}, claims_of(held.bank.node, held.upload) | claims)
    signed = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    tag = base64.urlsafe_b64encode(held.bank.key.sign(signed.encode())).rstrip(b"=").decode()
    return f"{signed}.{tag}"


def test_under_the_token_of_another_method(held):
    token = token_of(held.bank.transport, replace(held.upload, method="GET"))
    held.refused(token, P.NOT_AUTHENTICATED, "signed for 'GET'")


def test_under_the_token_of_another_address(held):
    another_training = held.upload.path.replace(held.world.training, str(uuid.uuid4()))
    assert another_training != held.upload.path
    for path in (f"{held.upload.path}?wait=1", "work", another_training):
        token = token_of(held.bank.transport, replace(held.upload, path=path))
        held.refused(token, P.NOT_AUTHENTICATED, "signed for")


def test_captured_and_sent_to_another_address(held):
    token = token_of(held.bank.transport, held.upload)
    elsewhere = replace(held.upload, path=f"{held.upload.path}?wait=1")
    held.refused(token, P.NOT_AUTHENTICATED, "signed for", upload=elsewhere)


def test_captured_and_sent_with_another_body(held):
    other = replace(held.upload, body=held.upload.body[:-1] + b" ")
    token = token_of(held.bank.transport, held.upload)
    held.refused(token, P.TOO_LARGE if held.kind == "farewell" else P.DIGEST_MISMATCH, "expected", upload=other)


def test_anothers_statement_under_ones_own_token(held):
    if held.kind in {"sealed", "refusal", "complaint", "farewell"}:
        pytest.skip("carries no statement: what it says is the sender's own")
    # An assignment is its member's alone, so that a share of another's does not even come to be read.
    kind = P.WRONG_ROUND if held.kind == "share" else P.STATEMENT_INVALID
    held.refused(token_of(held.other.transport, held.upload), kind, "expected")


# Who may make it.


@pytest.mark.parametrize("role", list(Role))
def test_under_an_operators_token(held, role):
    held.refused(held.world.tokens[role], P.FORBIDDEN, "expected a node's signature")


def test_by_a_node_that_was_not_invited(held):
    held.refused(token_of(held.world.stranger.transport, held.upload), P.NOT_ON_ROSTER, "expected")


# Its length and its type.


def raw(url: str, upload: Upload, token: str, framing: str, body: bytes) -> http.client.HTTPResponse:
    """The request as these bytes, after which nothing more comes."""
    host, port = url.removeprefix("http://").split(":")
    lines = [f"{upload.method} {upload.target} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}", framing]
    lines += [f"{name}: {value}" for name, value in upload.headers.items()]
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        if framing.startswith("Content-Length") and body:
            connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection, method=upload.method)
        response.begin()
        response.content = response.read()
        return response


def refused_raw(held: Held, framing: str, body: bytes, kind: P, *words: str) -> None:
    with held.world.unchanged():
        answer = raw(held.world.url, held.upload, token_of(held.bank.transport, held.upload), framing, body)
    check_problem(answer.status, answer.headers["Content-Type"], answer.content, kind, *words)


def test_larger_than_allowed_is_refused_before_any_of_it_is_read(held):
    # Not a byte of the body is ever sent: who waited for one would not answer.
    refused_raw(held, f"Content-Length: {1 << 40}", b"", P.TOO_LARGE, "expected", str(1 << 40))


def test_of_undeclared_length(held):
    chunk = held.upload.body or b"x"
    body = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n0\r\n\r\n"
    refused_raw(held, "Transfer-Encoding: chunked", body, P.LENGTH_REQUIRED, "expected")


def test_that_ends_before_its_declared_length(held):
    if held.kind == "farewell":
        pytest.skip("has no body")
    size = len(held.upload.body)
    refused_raw(held, f"Content-Length: {size}", held.upload.body[: size // 2], P.BAD_REQUEST, f"{size} bytes")


def test_of_another_media_type(held):
    if held.kind == "farewell":
        pytest.skip("has no body")
    other = replace(held.upload, headers=held.upload.headers | {"Content-Type": "text/plain"})
    held.refused(token_of(held.bank.transport, other), P.UNSUPPORTED_MEDIA, "got text/plain", upload=other)


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\xff" * 300, hashlib.sha512(b"noise").digest() * 40, b"[" * 5000, b"null", b"{}"],
    ids=["empty", "nul", "ones", "noise", "nested", "null", "braces"],
)  # fmt: skip
def test_with_a_body_that_is_none_under_a_right_signature(held, body):
    if held.kind == "farewell":
        pytest.skip("has no body")
    kind = P.VALIDATION if held.kind in JSON_KINDS else P.BAD_REQUEST if held.kind == "sealed" else P.STATEMENT_INVALID
    other = replace(held.upload, body=body)
    held.refused(token_of(held.bank.transport, other), kind, upload=other)


def test_without_its_statement(held):
    if held.kind not in {"contribution", "share"}:
        pytest.skip("its statement is its body, or it has none")
    for header in (None, "", "!", "AAAA", base64.b64encode(b"[" * 3000).decode(), "A" * 40_000):
        headers = {"Content-Type": "application/octet-stream"}
        headers |= {} if header is None else {"Consortium-Statement": header}
        other = replace(held.upload, headers=headers)
        held.refused(token_of(held.bank.transport, other), P.VALIDATION, "Consortium-Statement", upload=other)


# The honest request, and then it again. Last, since the service takes it.


def test_the_same_signed_request_a_second_time(held):
    token = token_of(held.bank.transport, held.upload)
    first = held.world.send_with(held.upload, token)
    assert first.status_code == 200, first.text
    held.refused(token, P.REPLAYED, "sign it again")
    # The same bytes under a fresh signature: the answer was lost, say.
    with held.world.unchanged():
        again = held.world.send(held.bank, held.upload)
    assert (again.status_code, again.content) == (first.status_code, first.content)
