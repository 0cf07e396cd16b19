"""`bank-node enrol`."""

from __future__ import annotations

from pathlib import Path

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json
from bank_node.home import Home


@click.command()
@click.option("--url", required=True, envvar="CONSORTIUM_URL", help="The service's address.")
@click.option("--name", required=True, help="The bank's name, as the operator has invited it.")
@click.option("--token", required=True, envvar="BANK_NODE_TOKEN", help="One-time token. [env: BANK_NODE_TOKEN]")
@click.option("--data", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="CSV or Parquet file.")
@click.option("--dataset", default="transactions", show_default=True, help="What plans call that file.")
@home_option
@json_option
@command_errors
def enrol(  # noqa: PLR0917  # click passes them by name
    url: str, name: str, token: str, data: Path | None, dataset: str, home: Home, as_json: bool
) -> None:
    """Make this node's keys and enrol it with a one-time token; may be run again after a failure.

    \b
    Example:
      bank-node enrol --url https://consortium.example --name bank-a --token fce_… --data transactions.parquet
    """
    from bank_node.enrolment import enrol as enrol_node  # noqa: PLC0415  # `--help` answers without it

    identity = enrol_node(home, url=url, name=name, token=token, data=data, dataset=dataset)
    if as_json:
        show_json({"node": identity.node, "name": identity.name, "consortium": identity.consortium})
        return
    click.echo(f"{identity.name} is enrolled at {identity.consortium!r} as node {identity.node}")
    click.echo(f"settings: {home.settings}; policy: {home.policy}; then: bank-node run --home {home.folder}")
