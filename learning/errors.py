"""What can go wrong while learning; every class carries what a program needs to act on it."""


class LearningError(Exception):
    """Root of all errors of this package."""


class ContributionRejected(LearningError):  # noqa: N818  # the house's word for a refused act, not "...Error"
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


class AggregateImplausible(LearningError):  # noqa: N818
    """A decrypted sum that no honest banks can have produced (a negative count, say)."""

    def __init__(self, query: str, *, expected: str, got: str) -> None:
        super().__init__(f"aggregate of {query!r}: expected {expected}, got {got}")
        self.query = query
        self.expected = expected
        self.got = got
