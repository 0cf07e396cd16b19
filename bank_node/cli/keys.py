"""`bank-node keys`."""

from __future__ import annotations

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json
from bank_node.home import Home


@click.group()
def keys() -> None:
    """The node's keys: public halves, and which trainings have secrets here."""


@keys.command()
@home_option
@json_option
@command_errors
def show(home: Home, as_json: bool) -> None:
    """Show the public signing key, its fingerprint, and which trainings have keys on this node. Never a secret.

    \b
    Example:
      bank-node keys show
    """
    from bank_node.fingerprint import fingerprint, grouped  # noqa: PLC0415  # `--help` answers without it
    from bank_node.identity import read_record  # noqa: PLC0415

    record = read_record(home)
    held = sorted({path.parts[-3] for path in home.trainings.glob("*/attempt-*/secret.sealed")})
    if as_json:
        show_json(
            {"node": record.node, "signing_key": record.signing_key, "fingerprint": fingerprint(record.signing_key),
             "trainings_with_keys": held}
        )  # fmt: skip
        return
    click.echo(f"node         {record.node}")
    click.echo(f"signing key  {record.signing_key}  (Ed25519, public)")
    click.echo(f"fingerprint  {grouped(fingerprint(record.signing_key))}")
    click.echo(f"trainings with keys on this node: {', '.join(held) or 'none'}")
