"""Signs and verifies statements: Ed25519 (RFC 8032) over their canonical bytes, which carry a context of their own."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from protocol.errors import StatementInvalid
from protocol.statements import SignedStatement, Statement, StatementT

_X25519_BYTES = 32


def key_text(key: Ed25519PublicKey) -> str:
    """A signing key as it stands in messages: base64 of the 32 raw bytes."""
    return base64.b64encode(key.public_bytes_raw()).decode()


@lru_cache(maxsize=1024)
def key_from_text(text: str) -> Ed25519PublicKey:
    """The inverse of `key_text`.

    Raises:
        StatementInvalid: not base64 of 32 bytes.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise StatementInvalid(
            "signing key", expected="base64 of 32 bytes", got=f"{len(text)} other characters"
        ) from error


def require_sealing_key(text: str) -> None:
    """Refuses a sealing key that nobody could seal to: base64 of an ML-KEM-768 and an X25519 public key.

    Raises:
        StatementInvalid: anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
        MLKEM768PublicKey.from_public_bytes(data[:-_X25519_BYTES])
        X25519PublicKey.from_public_bytes(data[-_X25519_BYTES:])
    except (ValueError, binascii.Error) as error:
        raise StatementInvalid(
            "sealing key", expected="an ML-KEM-768 and an X25519 public key", got=f"{len(text)} other characters"
        ) from error


def sign_statement(key: Ed25519PrivateKey, statement: Statement) -> SignedStatement:
    """The statement under a signature of 64 bytes."""
    signature = base64.b64encode(key.sign(statement.canonical_bytes())).decode()
    return SignedStatement.model_validate({"statement": statement, "signature": signature})


def verify_statement(signed: SignedStatement, kind: type[StatementT], key: Ed25519PublicKey) -> StatementT:
    """The statement, once it is of this kind and its signature holds under this key.

    Raises:
        StatementInvalid: another kind, or the signature does not verify.
    """
    statement = signed.expect(kind)
    try:
        key.verify(signed.signature_bytes(), statement.canonical_bytes())
    except (InvalidSignature, ValueError) as error:
        raise StatementInvalid(
            signed.statement.tag, expected="a signature by the named key", got="one that does not verify"
        ) from error
    return statement
