"""A bank's rows some at a time, so that what is made on the way takes no memory by the row."""

from __future__ import annotations

from collections.abc import Iterator

#: A column of so many float32 numbers, and what is made of it, stays in the processor's cache.
ROWS_AT_ONCE = 1 << 15


def row_slices(rows: int) -> Iterator[slice]:
    """Slices that cover the rows in order; at least one, be it empty."""
    return (slice(first, min(first + ROWS_AT_ONCE, rows)) for first in range(0, max(rows, 1), ROWS_AT_ONCE))
