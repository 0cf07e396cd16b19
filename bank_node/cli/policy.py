"""`bank-node policy`."""

from __future__ import annotations

import json

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json, warn
from bank_node.home import Home


@click.group()
def policy() -> None:
    """The bank's own rules, which no service can override."""


@policy.command()
@home_option
@json_option
@command_errors
def show(home: Home, as_json: bool) -> None:
    """Show the policy in force, defaults included.

    \b
    Example:
      bank-node policy show
    """
    from bank_node.policy_file import load_policy  # noqa: PLC0415  # `--help` answers without it

    _require_policy(home)
    settings = load_policy(home).settings.model_dump(mode="json")
    if as_json:
        show_json(settings)
        return
    click.echo(f"# {home.policy}" + ("" if home.policy.exists() else " is not there: the defaults"))
    # Tables last: what follows one in TOML is part of it.
    for name, value in sorted(settings.items(), key=lambda item: isinstance(item[1], dict)):
        if value is None:
            click.echo(f"# {name}: not set")
        elif isinstance(value, dict):
            lines = (f"{json.dumps(key)} = {json.dumps(part)}" for key, part in value.items())
            click.echo("\n".join([f"[{name}]", *lines]))
        else:
            click.echo(f"{name} = {json.dumps(value)}" + ("  # any" if value == [] else ""))


@policy.command()
@home_option
@json_option
@command_errors
def check(home: Home, as_json: bool) -> None:
    """Check policy.toml after an edit; every wrong field is named, and rules that no training can meet.

    \b
    Example:
      bank-node policy check && systemctl restart bank-node
    """
    from bank_node.identity import read_record  # noqa: PLC0415  # `--help` answers without it
    from bank_node.policy_file import load_policy, never_met  # noqa: PLC0415  # `--help` answers without it

    _require_policy(home)
    own = read_record(home).name if home.identity.exists() else None
    warnings = never_met(load_policy(home).settings, own)
    if as_json:
        show_json({"policy": str(home.policy), "warnings": warnings})
        return
    warn(warnings)
    click.echo(f"{home.policy}: good; a running node takes it up when it is restarted")


def _require_policy(home: Home) -> None:
    """Nobody is told that a policy is good which lies elsewhere; it may be written before the node is enrolled."""
    if not home.policy.exists():
        home.require_enrolled()
