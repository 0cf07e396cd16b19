"""Help texts. Docstrings are raw (no escapes to read around), so that click's mark for "keep these lines as they are",
a backspace, stands in them as two characters.
"""

from __future__ import annotations

import click


def with_kept_lines(command: click.Command) -> click.Command:
    """The command, and all below it, with click's mark where its docstring has a backslash and a b."""
    if command.help:
        command.help = command.help.replace("\\b", "\b")
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_kept_lines(below)
    return command
