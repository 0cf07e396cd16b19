"""`bank-node enrol`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json, warn
from bank_node.errors import DataUnfit
from bank_node.home import Home


@click.command()
@click.option("--url", required=True, envvar="CONSORTIUM_URL", help="The service's address. [env: CONSORTIUM_URL]")
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
    columns = None if data is None else _columns(home, dataset)
    if as_json:
        enrolled = {"node": identity.node, "name": identity.name, "consortium": identity.consortium}
        show_json(enrolled | {"columns": None if columns is None else list(columns)})
        return
    click.echo(f"{identity.name} is enrolled at {identity.consortium!r} as node {identity.node}")
    if columns is not None:
        click.echo(f"dataset {dataset!r} has {len(columns)} columns: {', '.join(columns)}")
    click.echo(f"settings: {home.settings}; policy: {home.policy}; then: bank-node run --home {home.folder}")


def _columns(home: Home, dataset: str) -> Collection[str] | None:
    """The dataset's columns, as a training would find them; with a warning where none would."""
    from bank_node.settings import load_settings  # noqa: PLC0415  # `--help` answers without it
    from bank_node.sources.port import open_source  # noqa: PLC0415  # `--help` answers without it

    try:
        return open_source(dataset, load_settings(home).datasets[dataset], home.folder).describe().columns
    except DataUnfit as error:
        warn([f"{error.in_full()}; the node is enrolled, and can take part in nothing that needs this dataset"])
        return None
