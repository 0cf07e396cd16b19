"""What can be wrong with a message, a statement or a transition."""

from __future__ import annotations

from collections.abc import Sequence


class ProtocolError(Exception):
    """Root of all errors of this package."""


class StatementInvalid(ProtocolError):  # the house's word for a refused act
    """A signed statement that does not verify, or says something else than it should."""

    def __init__(self, tag: str, *, expected: str, got: str) -> None:
        super().__init__(f"statement {tag!r}: expected {expected}, got {got}")
        self.tag = tag
        self.expected = expected
        self.got = got


class CommitteeTooWeak(ProtocolError):
    """A committee in which the colluders that the plan assumes could open sums themselves."""

    def __init__(self, where: str, *, expected: str, got: str) -> None:
        super().__init__(f"{where}: expected {expected}, got {got}")
        self.where = where
        self.expected = expected
        self.got = got


class TransitionRefused(ProtocolError):
    """A state machine was asked for a step that its table does not have."""

    def __init__(self, machine: str, *, state: str, event: str, takes: Sequence[str] = (), hint: str = "") -> None:
        wanted = " or ".join(f"{one!s}" for one in takes) or "none"
        super().__init__(f"{machine}: to {event!s} it, expected state {wanted}, got {state!s}{hint}")
        self.machine = machine
        self.state = state
        self.event = event


class AggregateMalformed(ProtocolError):
    """Bytes that are not the published form of a round's aggregate."""

    def __init__(self, *, expected: str, got: str) -> None:
        super().__init__(f"aggregate: expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class SealedMessageMalformed(ProtocolError):
    """Bytes that are not a sealed message of the key ceremony."""

    def __init__(self, *, expected: str, got: str) -> None:
        super().__init__(f"sealed message: expected {expected}, got {got}")
        self.expected = expected
        self.got = got
