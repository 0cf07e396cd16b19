"""`consortium node`."""

from __future__ import annotations

import click

from consortium.cli.client import Service, moment, service_options, show_json, show_table
from consortium.cli.numbers import Number
from consortium.cli.show import short


@click.group()
def node() -> None:
    """Invite, list and remove the banks' nodes; list invitations and take them back."""


@node.command()
@click.argument("name")
@click.option("--days", type=Number(0, 90, min_open=True), default=7.0, show_default=True)
@service_options
def invite(name: str, days: float, url: str, token: str, as_json: bool) -> None:
    r"""Make a one-time token with which a bank enrols its node.

    \b
    Example:
      consortium node invite bank-a
      # at the bank: bank-node enrol --url URL --name bank-a --token TOKEN
    """
    made = Service(url, token).post("/v1/nodes/invitations", {"name": name, "lifetime_s": days * 86400})
    if as_json:
        show_json(made)
        return
    click.echo(made["token"])
    click.echo(f"for {name}, once, until {moment(made['expires_at'])} UTC; at the bank:", err=True)
    click.echo(f"  bank-node enrol --url {url} --name {name} --token …", err=True)
    for other in made["also_open"]:
        click.echo(
            f"an earlier invitation of {name} holds as well, made by {other['created_by']} at "
            f"{moment(other['created_at'])}, until {moment(other['expires_at'])} UTC: whichever is used first has the "
            "name",
            err=True,
        )


@node.command()
@service_options
def invitations(url: str, token: str, as_json: bool) -> None:
    r"""List the invitations that were neither used nor have expired.

    \b
    Example:
      consortium node invitations
    """
    found = Service(url, token).get("/v1/nodes/invitations")["invitations"]
    if as_json:
        show_json(found)
        return
    rows = [[one["name"], moment(one["created_at"]), one["created_by"], moment(one["expires_at"])] for one in found]
    show_table("Open invitations", ["name", "made", "by", "until"], rows)


@node.command()
@click.argument("name")
@service_options
def uninvite(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Take back the open invitations of a name: their tokens enrol nobody any more.

    \b
    Example:
      consortium node uninvite bank-a
    """
    found = Service(url, token).delete(f"/v1/nodes/invitations/{name}")["invitations"]
    if as_json:
        show_json(found)
    else:
        click.echo(f"{len(found)} invitations of {name} are taken back")


@node.command("list")
@service_options
def list_all(url: str, token: str, as_json: bool) -> None:
    r"""List the nodes.

    \b
    Example:
      consortium node list
    """
    nodes = Service(url, token).get("/v1/nodes")["nodes"]
    if as_json:
        show_json(nodes)
        return
    rows = [
        [n["name"], short(n["id"]), *(moment(n[at]) for at in ("enrolled_at", "seen_at", "removed_at"))] for n in nodes
    ]
    show_table("Nodes", ["name", "id", "enrolled", "last seen", "removed"], rows)


@node.command()
@click.argument("name")
@service_options
def remove(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Remove a node: its requests are refused from now on.

    \b
    Example:
      consortium node remove bank-a
    """
    removed = Service(url, token).delete(f"/v1/nodes/{name}")
    if as_json:
        show_json(removed)
    else:
        click.echo(f"node {removed['name']} is removed")
