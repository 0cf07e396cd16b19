"""How the command shows what comes back: tables for people on a terminal, plain lines for a pipe, JSON for scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False)
#: Columns that are copied from: never folded over several lines.
_WHOLE = {"id", "name", "training", "digest", "state"}


def say(text: str, *, style: str | None = None) -> None:
    """Prints a line of text as it is; a terminal folds it, a pipe does not."""
    console.print(escape(text), style=style, soft_wrap=True)


def show_json(value: Any) -> None:
    """Prints JSON."""
    click.echo(json.dumps(value, indent=2))


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table on a terminal; elsewhere a line of names and a line a row, in columns parted by tabs."""
    if not console.is_terminal:
        for cells in [columns, *rows] if any(columns) else rows:
            click.echo("\t".join(" ".join(cell.split()) for cell in cells))
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def short(identifier: str) -> str:
    """An id's first characters where a terminal's width is dear: every command takes them for the whole."""
    return identifier[:8] if console.is_terminal else identifier


def moment(seconds: float | None) -> str:
    """A time for people, in UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def volume(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
