"""`bank-node`: enrol, run, look, score. Every command has an example in its help, and `--json` for scripts."""

from __future__ import annotations

import importlib
from typing import Any

import click

from bank_node.exit_codes import HELP

_COMMANDS = {
    "enrol": "bank_node.cli.enrol",
    "run": "bank_node.cli.run",
    "status": "bank_node.cli.status",
    "policy": "bank_node.cli.policy",
    "keys": "bank_node.cli.keys",
    "banks": "bank_node.cli.banks",
    "ledger": "bank_node.cli.ledger",
    "check-plan": "bank_node.cli.check_plan",
    "models": "bank_node.cli.score",
    "score": "bank_node.cli.score",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: Any = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code.value:>3}  {text}" for code, text in HELP.items()),
)
@click.version_option(package_name="fraud-consortium")
def main() -> None:
    """Run a bank's node: it trains with the consortium beside the bank's own data, which never leave.

    \b
    Enrol once:     bank-node enrol --url https://… --name bank-a --token … --data transactions.parquet
    Then run it:    bank-node run

    The home folder is ./bank-node, or --home, or BANK_NODE_HOME. The node makes outgoing connections only.
    """
