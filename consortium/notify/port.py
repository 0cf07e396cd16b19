"""What long polls and progress streams ask of notifications."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

#: Is given, of every subject that somebody waits for and that is about to be woken, how many notices there were.
BeforeWaking = Callable[[Mapping[str, int]], None]


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

    def before_waking(self, do: BeforeWaking) -> None:
        """Has something done before those are woken who wait here, in the thread that wakes them."""

    def notify(self, subjects: Iterable[str]) -> None:
        """Notifies everyone who waits for these."""

    def close(self) -> None:
        """Stops listening."""
