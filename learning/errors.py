"""What can go wrong while learning; every class carries what a program needs to act on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class LearningError(Exception):
    """Root of all errors of this package."""


class ContributionRejected(LearningError):  # the house's word for a refused act, not "...Error"
    """A vector that may not enter a secure sum: wrong length, not finite, or beyond the query's bound.

    Attributes:
        query: name of the query.
        expected: what would be accepted.
        got: what came.
    """

    def __init__(self, query: str, *, expected: str, got: str) -> None:
        super().__init__(f"contribution to {query!r}: expected {expected}, got {got}")
        self.query = query
        self.expected = expected
        self.got = got


class AggregateImplausible(LearningError):
    """A decrypted sum that no honest banks can have produced (a negative count, say)."""

    def __init__(self, query: str, *, expected: str, got: str) -> None:
        super().__init__(f"aggregate of {query!r}: expected {expected}, got {got}")
        self.query = query
        self.expected = expected
        self.got = got


class DataRejected(LearningError):
    """A bank's own rows that cannot be used as they are; the sentence names the column, never a value.

    Attributes:
        column: the column at fault, or the table's part ("rows", "label").
        expected: what would be accepted.
        got: what came.
    """

    def __init__(self, column: str, *, expected: str, got: str) -> None:
        super().__init__(f"column {column!r}: expected {expected}, got {got}")
        self.column = column
        self.expected = expected
        self.got = got


class SettingsRejected(LearningError):
    """A plan's `learning` that is no algorithm's settings.

    Attributes:
        findings: what pydantic finds wrong, with place, type, input and context.
    """

    def __init__(self, findings: Sequence[Mapping[str, Any]]) -> None:
        super().__init__("learning: expected settings of a known algorithm")
        self.findings = findings


class DidNotConverge(LearningError):
    """An iteration that used up its rounds before its step fell below the tolerance.

    Attributes:
        algorithm: name of the algorithm.
        rounds: rounds used.
        step: size of the last step, in standardised coefficients.
    """

    def __init__(self, algorithm: str, *, rounds: int, step: float, tolerance: float) -> None:
        super().__init__(
            f"{algorithm}: expected a step below {tolerance:g} within {rounds} rounds, got {step:g}; "
            "allow more rounds or regularise more strongly"
        )
        self.algorithm = algorithm
        self.rounds = rounds
        self.step = step


class BudgetExceeded(LearningError):
    """An act that would spend more privacy than the ledger allows; nothing was recorded.

    Attributes:
        purpose: what was to be done.
        budget: the ledger's epsilon.
        would_be: epsilon after the act.
    """

    def __init__(self, purpose: str, *, budget: float, would_be: float) -> None:
        super().__init__(
            f"privacy ledger: {purpose} would bring epsilon to {would_be:.4g}, expected at most {budget:g}; "
            "ask for fewer rounds or more noise"
        )
        self.purpose = purpose
        self.budget = budget
        self.would_be = would_be
