"""What can be wrong with an operator's token."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class TokenNotThere(ConsortiumError):
    """There is no token with this id."""


class TokenAmbiguous(ConsortiumError):
    """A name of several tokens that are in use."""
