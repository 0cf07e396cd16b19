"""What `--help` prints: no command shows its markup, and the exit codes are a table."""

import click
import pytest
from click.testing import CliRunner

from bank_node.cli import main
from bank_node.exit_codes import HELP, ExitCode


def every_command(command, *path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from every_command(command.get_command(context, name), *path, name)


@pytest.mark.parametrize("path", list(every_command(main)), ids=" ".join)
def test_help_is_for_people(path):
    shown = CliRunner().invoke(main, [*path, "--help"]).output
    assert shown.startswith("Usage:")
    assert "\\" not in shown
    assert "\b" not in shown
    for line in shown.splitlines():
        assert line.count("bank-node ") <= 1  # examples that were run together


def test_every_exit_code_has_a_line():
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    assert set(HELP) == set(ExitCode)
    for code, text in HELP.items():
        assert f"  {code.value:>3}  {text}" in [line[2:] for line in lines]
