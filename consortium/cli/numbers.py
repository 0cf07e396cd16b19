"""Numbers on the command line: what is none is refused with what would be accepted, which click leaves out."""

from __future__ import annotations

from typing import Any

import click


class WholeNumber(click.IntRange):
    """As `click.IntRange`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        if not _is(int, value):
            self.fail(f"expected a whole number in the range {self._describe_range()}, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """As `click.FloatRange`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        if not _is(float, value):
            self.fail(f"expected a number in the range {self._describe_range()}, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)


def _is(kind: type[int | float], value: Any) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True
