"""What can be wrong with a request before any subject sees it."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class RequestRefused(ConsortiumError):
    """Root of what is wrong with a request."""


class BodyUnreadable(RequestRefused):
    """A body that is not what its type says, or shorter than declared."""


class BodyTooLarge(RequestRefused):
    """A body larger than this address takes; refused before it is read."""


class LengthMissing(RequestRefused):
    """A body without a declared length."""


class MediaTypeWrong(RequestRefused):
    """A body of a type that this address does not take."""


class BodyDigestWrong(RequestRefused):
    """A body that is not the one that was signed."""


class FieldInvalid(RequestRefused):
    """A parameter or field that is not as it should be.

    Attributes:
        fields: for every field what is wrong.
    """

    def __init__(self, message: str, fields: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.fields = fields


class NotAuthenticated(RequestRefused):
    """No token, or one that does not hold."""


class TokenStale(RequestRefused):
    """A signed request that is too old, or from before this service was started."""


class TokenReplayed(RequestRefused):
    """A signed request that was seen before."""


class AccessDenied(RequestRefused):
    """The caller is known, and may not do this."""
