"""`consortium`: serve, work, steer trainings. Every command has an example in its help; all but `serve` and `worker`,
which run until they are ended, have `--json` for scripts.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from consortium.cli.help import with_kept_lines

#: Command → module that has it; imported when it is called, so that `--help` answers at once.
_COMMANDS = {
    "serve": "consortium.cli.serve",
    "worker": "consortium.cli.serve",
    "db": "consortium.cli.database",
    "token": "consortium.cli.tokens",
    "node": "consortium.cli.nodes",
    "plan": "consortium.cli.plans",
    "training": "consortium.cli.trainings",
    "model": "consortium.cli.models",
    "storage": "consortium.cli.storage",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = _COMMANDS.get(cmd_name)
        command: Any = getattr(importlib.import_module(module), cmd_name) if module else None
        return with_kept_lines(command) if isinstance(command, click.Command) else None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="fraud-consortium")
def main() -> None:
    r"""Coordinate banks that train fraud models together without showing one another anything.

    \b
    Start everything in one process:        consortium serve
    Make an operator's token (once):        consortium token create ops --role admin
    Invite a bank:                          consortium node invite bank-a
    Train:                                  consortium plan create plan.json && consortium training start NAME

    Commands other than serve, worker, db and token talk to the service at CONSORTIUM_URL with CONSORTIUM_TOKEN.

    \b
    Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the service refused; 4 the service cannot be reached;
    5 the training ended without a model; 130 interrupted.
    """


with_kept_lines(main)
