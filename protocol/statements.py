"""What gets signed: every act of a bank is a statement in canonical JSON (RFC 8785) under its Ed25519 identity.

A statement names the protocol version, its tag, the training and everything that gives the act its meaning, so that a
signature can not be carried from one act, round or training to another.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from protocol.errors import StatementInvalid
from protocol.ids import DigestHex, UUIDText, sha256_hex

Base64Text = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=4 * 1024 * 1024)]


class WireModel(BaseModel):
    """Base of all wire types: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
#: What the two encoders may write differently, or what may look like it inside a string: long integers, fractions.
_UNSURE = re.compile(r"[:,\[]-?(?:[0-9]{16}|[0-9]+[.e]|[IN])")


def canonical_json(value: dict[str, Any]) -> bytes:
    """The RFC 8785 form of plain JSON values under text names.

    For ASCII without fractions and with integers below 10^15, which is nearly every statement, the standard library's
    compiled encoder writes the same bytes in a tenth of the time: RFC 8785 orders names by UTF-16 code units and Python
    by code points, which differ beyond ASCII alone, and both escape what JSON demands and no more.

    Raises:
        rfc8785.CanonicalizationError: a number that has no such form.
    """
    text = _ENCODE(value)
    if text.isascii() and _UNSURE.search(text) is None:
        return text.encode()
    return rfc8785.dumps(value)


class Statement(WireModel):
    """Base of all statements."""

    context: ClassVar[bytes] = b"fraud-consortium/statement/v1"

    version: Literal[1] = 1

    def canonical_bytes(self) -> bytes:
        """The bytes that are signed: the context, a zero byte, RFC 8785 JSON."""
        return self.context + b"\0" + canonical_json(self.model_dump(mode="json"))

    def statement_digest(self) -> str:
        """SHA-256 of the canonical bytes, hex."""
        return sha256_hex(self.canonical_bytes())


class Enrolment(Statement):
    """A node's application: possession of both keys, bound to the one-time token's hash."""

    tag: Literal["enrolment"] = "enrolment"
    name: str
    signing_key: Base64Text
    sealing_key: Base64Text
    token_digest: DigestHex


class Acceptance(Statement):
    """A bank takes part in a training under exactly this plan, with a sealing key made for it."""

    tag: Literal["acceptance"] = "acceptance"
    training: UUIDText
    node: UUIDText
    plan: DigestHex
    sealing_key: Base64Text


class Deal(Statement):
    """A bank has dealt its key: the public commitments and the digests of what it sealed to whom."""

    tag: Literal["deal"] = "deal"
    training: UUIDText
    attempt: int = Field(ge=0)
    node: UUIDText
    roster: DigestHex
    commitments: Base64Text
    sealed: dict[UUIDText, DigestHex]


class Receipt(Statement):
    """A bank holds everything that the dealers sealed to it and has checked it against their commitments."""

    tag: Literal["receipt"] = "receipt"
    training: UUIDText
    attempt: int = Field(ge=0)
    node: UUIDText
    roster: DigestHex
    deals: DigestHex


class ContributionStatement(Statement):
    """A bank's contribution to a round: what was asked, on which history, and the digest of the bytes."""

    tag: Literal["contribution"] = "contribution"
    training: UUIDText
    round: int = Field(ge=0)
    node: UUIDText
    query: DigestHex
    history: DigestHex
    digest: DigestHex
    size_bytes: int = Field(ge=1)


class Vote(Statement):
    """A committee member names the one contributor set that it will answer for in this round (agreement)."""

    tag: Literal["vote"] = "vote"
    training: UUIDText
    round: int = Field(ge=0)
    node: UUIDText
    query: DigestHex
    history: DigestHex
    contributors: tuple[UUIDText, ...]


class ShareStatement(Statement):
    """A committee member's decryption share for the pieces that it was assigned."""

    tag: Literal["share"] = "share"
    training: UUIDText
    round: int = Field(ge=0)
    node: UUIDText
    history: DigestHex
    contributors: DigestHex
    pieces: tuple[int, ...]
    digest: DigestHex
    size_bytes: int = Field(ge=1)


class ModelStatement(Statement):
    """A bank's own derivation of the model from the aggregates ends in this digest."""

    tag: Literal["model"] = "model"
    training: UUIDText
    node: UUIDText
    history: DigestHex
    model: DigestHex


AnyStatement = Annotated[
    Enrolment | Acceptance | Deal | Receipt | ContributionStatement | Vote | ShareStatement | ModelStatement,
    Field(discriminator="tag"),
]
StatementT = TypeVar("StatementT", bound=Statement)


class SignedStatement(WireModel):
    """A statement and its signature (Ed25519, 64 bytes, base64)."""

    statement: AnyStatement
    signature: Base64Text

    def expect(self, kind: type[StatementT]) -> StatementT:
        """The statement, if it is of this kind.

        Raises:
            StatementInvalid: it is of another kind.
        """
        if not isinstance(self.statement, kind):
            wanted = kind.model_fields["tag"].default
            raise StatementInvalid(str(wanted), expected=f"tag {wanted!r}", got=f"tag {self.statement.tag!r}")
        return self.statement

    def signature_bytes(self) -> bytes:
        """The raw signature."""
        return base64.b64decode(self.signature, validate=True)

    def to_header(self) -> str:
        """Base64 of the JSON form: how a statement travels beside a binary body."""
        return base64.b64encode(self.model_dump_json().encode()).decode()

    @classmethod
    def from_header(cls, text: str) -> SignedStatement:
        """The inverse of `to_header`.

        Raises:
            StatementInvalid: not base64 of a signed statement.
        """
        try:
            return cls.model_validate_json(base64.b64decode(text, validate=True))
        except (ValueError, ValidationError) as error:
            raise StatementInvalid(
                "header", expected="base64 of a signed statement", got=type(error).__name__
            ) from error


def canonical_digest(model: BaseModel | dict[str, Any] | list[Any]) -> str:
    """SHA-256 in hex of the RFC 8785 form of a model or of plain JSON values."""
    if isinstance(model, BaseModel):
        return sha256_hex(canonical_json(model.model_dump(mode="json")))
    return sha256_hex(rfc8785.dumps(model))


def deals_digest(deals: Sequence[SignedStatement]) -> str:
    """What a `Receipt` signs: the digest of the deals' statement digests, in roster order."""
    return canonical_digest([signed.expect(Deal).statement_digest() for signed in deals])


STATEMENTS: TypeAdapter[Statement] = TypeAdapter(AnyStatement)
