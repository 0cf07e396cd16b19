"""What long polls and progress streams ask of notifications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Notifier(Protocol):
    """Wakes whoever waits for a subject (a node's or a training's id).

    A notice may be lost with its carrier (Redis), so nobody waits longer than `patience_s` before looking again.

    Attributes:
        patience_s: the longest time that a lost notice may cost.
    """

    patience_s: float

    def ticket(self, subject: str) -> int:
        """A number that changes with every notice; taken before looking, so that no notice falls in between."""

    def wait(self, subject: str, ticket: int, timeout_s: float) -> None:
        """Returns when a notice came after the ticket, or after the timeout."""

    def notify(self, subjects: Iterable[str]) -> None:
        """Notifies everyone who waits for these."""

    def close(self) -> None:
        """Stops listening."""
