"""Problem types (RFC 9457): what a program acts on when the service says no."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict


class ProblemType(StrEnum):
    """Short names; the `type` member of a problem document is `urn:fraud-consortium:problem:<name>`."""

    BAD_REQUEST = "bad-request"
    VALIDATION = "validation"
    NOT_AUTHENTICATED = "not-authenticated"
    REPLAYED = "replayed"
    STALE_TOKEN = "stale-token"  # noqa: S105  # a problem's name, not a secret
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_LARGE = "too-large"
    LENGTH_REQUIRED = "length-required"
    UNSUPPORTED_MEDIA = "unsupported-media"
    DIGEST_MISMATCH = "digest-mismatch"
    STATEMENT_INVALID = "statement-invalid"
    MALFORMED_CONTRIBUTION = "malformed-contribution"
    MALFORMED_SHARE = "malformed-share"
    FORBIDDEN_MUTATION = "forbidden-mutation"
    WRONG_STATE = "wrong-state"
    WRONG_ROUND = "wrong-round"
    DEADLINE_PASSED = "deadline-passed"
    NOT_ON_ROSTER = "not-on-roster"
    HISTORY_FORKED = "history-forked"
    BELOW_MINIMUM = "below-minimum"
    NAME_TAKEN = "name-taken"
    ENROLMENT_TOKEN_INVALID = "enrolment-token-invalid"  # noqa: S105  # a problem's name, not a secret
    PROTOCOL_VERSION = "protocol-version"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class ProblemKind(NamedTuple):
    """What is fixed about a problem type."""

    status: HTTPStatus
    title: str
    retryable: bool


_S = HTTPStatus
PROBLEMS: MappingProxyType[ProblemType, ProblemKind] = MappingProxyType(
    {
        ProblemType.BAD_REQUEST: ProblemKind(_S.BAD_REQUEST, "The request could not be read", False),
        ProblemType.VALIDATION: ProblemKind(_S.UNPROCESSABLE_ENTITY, "A field is not as it should be", False),
        ProblemType.NOT_AUTHENTICATED: ProblemKind(_S.UNAUTHORIZED, "Who asks is not known", False),
        ProblemType.REPLAYED: ProblemKind(_S.UNAUTHORIZED, "This signed request was seen before", True),
        ProblemType.STALE_TOKEN: ProblemKind(_S.UNAUTHORIZED, "The request's signature has expired", True),
        ProblemType.FORBIDDEN: ProblemKind(_S.FORBIDDEN, "Not allowed for this caller", False),
        ProblemType.NOT_FOUND: ProblemKind(_S.NOT_FOUND, "There is no such thing", False),
        ProblemType.METHOD_NOT_ALLOWED: ProblemKind(_S.METHOD_NOT_ALLOWED, "Not a method of this address", False),
        ProblemType.TOO_LARGE: ProblemKind(_S.REQUEST_ENTITY_TOO_LARGE, "The body is larger than allowed", False),
        ProblemType.LENGTH_REQUIRED: ProblemKind(_S.LENGTH_REQUIRED, "The body's length must be declared", False),
        ProblemType.UNSUPPORTED_MEDIA: ProblemKind(_S.UNSUPPORTED_MEDIA_TYPE, "The body's type is not taken", False),
        ProblemType.DIGEST_MISMATCH: ProblemKind(_S.BAD_REQUEST, "The body is not what was signed", True),
        ProblemType.STATEMENT_INVALID: ProblemKind(_S.BAD_REQUEST, "A signed statement does not hold", False),
        ProblemType.MALFORMED_CONTRIBUTION: ProblemKind(_S.BAD_REQUEST, "The contribution is malformed", False),
        ProblemType.MALFORMED_SHARE: ProblemKind(_S.BAD_REQUEST, "The decryption share is malformed", False),
        ProblemType.FORBIDDEN_MUTATION: ProblemKind(_S.CONFLICT, "Something else was accepted here before", False),
        ProblemType.WRONG_STATE: ProblemKind(_S.CONFLICT, "Not possible in the present state", False),
        ProblemType.WRONG_ROUND: ProblemKind(_S.CONFLICT, "The message is for another round", False),
        ProblemType.DEADLINE_PASSED: ProblemKind(_S.CONFLICT, "The deadline has passed", False),
        ProblemType.NOT_ON_ROSTER: ProblemKind(_S.FORBIDDEN, "This bank is not on the roster", False),
        ProblemType.HISTORY_FORKED: ProblemKind(_S.CONFLICT, "The caller has seen another history", False),
        ProblemType.BELOW_MINIMUM: ProblemKind(_S.CONFLICT, "Too few banks", True),
        ProblemType.NAME_TAKEN: ProblemKind(_S.CONFLICT, "The name is taken", False),
        ProblemType.ENROLMENT_TOKEN_INVALID: ProblemKind(_S.FORBIDDEN, "The enrolment token does not hold", False),
        ProblemType.PROTOCOL_VERSION: ProblemKind(_S.BAD_REQUEST, "The protocol's version is not spoken here", False),
        ProblemType.UNAVAILABLE: ProblemKind(_S.SERVICE_UNAVAILABLE, "Not now", True),
        ProblemType.INTERNAL: ProblemKind(_S.INTERNAL_SERVER_ERROR, "The service failed", True),
    }
)

URN_PREFIX = "urn:fraud-consortium:problem:"
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An RFC 9457 problem document. Extension members (ids, expected, got) are allowed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str

    @classmethod
    def of(cls, kind: ProblemType, detail: str, **extensions: Any) -> Problem:
        """A problem of this type with a sentence a person can act on."""
        fixed = PROBLEMS[kind]
        return cls(type=URN_PREFIX + kind, title=fixed.title, status=fixed.status, detail=detail, **extensions)

    @property
    def kind(self) -> ProblemType | None:
        """The type as an enum, or None if it is not one of ours."""
        name = self.type.removeprefix(URN_PREFIX)
        return ProblemType(name) if name in ProblemType.__members__.values() else None
