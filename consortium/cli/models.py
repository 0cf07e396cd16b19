"""`consortium model`."""

from __future__ import annotations

from pathlib import Path

import click

from consortium.cli.client import Service, console, moment, service_options, show_json, show_table, volume


@click.group()
def model() -> None:
    """List, fetch, promote and roll back released models."""


@model.command("list")
@service_options
def list_all(url: str, token: str, as_json: bool) -> None:
    r"""List the released models, newest first.

    \b
    Example:
      consortium model list
    """
    models = Service(url, token).get("/v1/models")["models"]
    if as_json:
        show_json(models)
        return
    rows = [
        [m["name"], m["training"], m["digest"][:16], moment(m["released_at"]), "yes" if m["in_force"] else ""]
        for m in models
    ]
    show_table("Models", ["name", "training", "digest", "released", "in force"], rows)


@model.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@service_options
def get(name: str, out: Path, url: str, token: str, as_json: bool) -> None:
    r"""Fetch a model's bytes: by name the one in force, or by training, or by digest.

    \b
    Example:
      consortium model get fraud-2026 --out model.json
    """
    service = Service(url, token)
    view = service.get(f"/v1/models/{name}")
    out.write_bytes(service.get_bytes(f"/v1/models/{view['training']}/content"))
    if as_json:
        show_json(view | {"file": str(out)})
    else:
        click.echo(f"{out}: model {view['digest']}, {volume(out.stat().st_size)}")


@model.command()
@click.argument("name")
@service_options
def card(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Show a model's card: what it was made of, how good it is, how it was protected.

    \b
    Example:
      consortium model card fraud-2026
    """
    found = Service(url, token).get(f"/v1/models/{name}/card")
    if as_json:
        show_json(found)
        return
    if found["warning"]:
        console.print(f"[bold red]{found['warning']}[/bold red]")
    facts = [
        ["training", found["training"]],
        ["digest", found["digest"]],
        [
            "banks",
            ", ".join(bank["name"] + ("" if bank["confirmed"] else " (not confirmed)") for bank in found["banks"]),
        ],
        ["rounds", f"{found['rounds']}, fewest banks in one: {found['fewest_contributors']}"],
        ["received", volume(found["bytes_received"])],
        ["trained", f"{moment(found['started_at'])} to {moment(found['ended_at'])} UTC"],
        *[[name, str(value)] for name, value in found["volumes"].items()],
        *[
            [name, f"{value:.4f}" if isinstance(value, float) else str(value)]
            for name, value in found["evaluation"].items()
            if not isinstance(value, (list, dict))
        ],
        *[[f"privacy: {name}", str(value)] for name, value in found["privacy"].items()],
        *[[f"software: {name}", version] for name, version in found["software"].items()],
    ]
    show_table(f"Model {found['name']}", ["", ""], facts)


@model.command()
@click.argument("name")
@service_options
def promote(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Put a model in force under its name.

    \b
    Example:
      consortium model promote 3f0d…
    """
    view = Service(url, token).post(f"/v1/models/{name}/promotion")
    if as_json:
        show_json(view)
    else:
        click.echo(f"model {view['digest'][:16]} of training {view['training']} is in force as {view['name']}")


@model.command()
@click.argument("name")
@service_options
def rollback(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Put the model in force that was before the present one of this name.

    \b
    Example:
      consortium model rollback fraud-2026
    """
    view = Service(url, token).post(f"/v1/models/{name}/rollback")
    if as_json:
        show_json(view)
    else:
        click.echo(f"model {view['digest'][:16]} of training {view['training']} is in force again as {view['name']}")
