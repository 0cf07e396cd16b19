"""How a node signs an HTTP request: a short-lived EdDSA JWT (RFC 7519, RFC 8037) that is bound to the method, the
path with its query, and the body's SHA-256, in the manner of DPoP (RFC 9449). The service refuses a `jti` that it has
seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict

from protocol.ids import UUID_PATTERN, UUIDText

AUDIENCE = "fraud-consortium"
LIFETIME_S = 60
EMPTY_BODY_DIGEST = base64.urlsafe_b64encode(hashlib.sha256(b"").digest()).rstrip(b"=").decode()


class RequestClaims(BaseModel):
    """What a request's token says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iss: UUIDText
    aud: str
    iat: int
    exp: int
    jti: UUIDText
    htm: str
    htu: str
    bdg: str


def body_digest(sha256: bytes) -> str:
    """The `bdg` claim: base64url without padding of the body's SHA-256."""
    return base64.urlsafe_b64encode(sha256).rstrip(b"=").decode()


def sign_request(key: Ed25519PrivateKey, *, node: str, method: str, target: str, sha256: bytes, now_s: float) -> str:
    """A token for one request.

    Args:
        key: the node's Ed25519 identity.
        node: its id.
        method: upper-case HTTP method.
        target: path and query as sent, e.g. ``/v1/work?wait=20``.
        sha256: SHA-256 of the body, 32 bytes.
        now_s: seconds since the epoch.
    """
    issued = int(now_s)
    claims = RequestClaims(
        iss=node,
        aud=AUDIENCE,
        iat=issued,
        exp=issued + LIFETIME_S,
        jti=str(uuid.uuid4()),
        htm=method,
        htu=target,
        bdg=body_digest(sha256),
    )
    return jwt.encode(claims.model_dump(), key, algorithm="EdDSA")


def read_issuer(token: str) -> str:
    """Who claims to have signed; nothing is verified yet.

    Raises:
        jwt.InvalidTokenError: not a token at all.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        issuer = claims["iss"]
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise jwt.InvalidTokenError("not a token that names its issuer") from error
    if not isinstance(issuer, str) or re.fullmatch(UUID_PATTERN, issuer) is None:
        raise jwt.InvalidTokenError("the token names no node as its issuer")
    return issuer


def verify_request(token: str, key: Ed25519PublicKey, *, method: str, target: str) -> RequestClaims:
    """Checks a token against the request's method and target; the caller still compares `bdg` with the body that it
    reads, and `jti` with those seen.

    Raises:
        jwt.ExpiredSignatureError: too old.
        jwt.InvalidTokenError: anything else that is wrong.
    """
    decoded = jwt.decode(
        token,
        key,
        algorithms=["EdDSA"],
        audience=AUDIENCE,
        leeway=30,
        options={"require": ["exp", "iat", "jti", "iss"]},
    )
    try:
        claims = RequestClaims.model_validate(decoded)
    except ValueError as error:
        raise jwt.InvalidTokenError("claims are missing or malformed") from error
    if claims.htm != method or claims.htu != target:
        # Quoted: a claim may hold what no answer can be written in, half a surrogate pair say.
        raise jwt.InvalidTokenError(f"signed for {claims.htm!r} {claims.htu!r}, sent as {method!r} {target!r}")
    if claims.exp - claims.iat > LIFETIME_S:
        raise jwt.InvalidTokenError(f"lives longer than {LIFETIME_S} s")
    return claims
