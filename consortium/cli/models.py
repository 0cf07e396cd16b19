"""`consortium model`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import click

from consortium.cli.card_text import show_card
from consortium.cli.client import EXIT_REFUSED, Service, refuse, service_options
from consortium.cli.output import require_writable, write_whole
from consortium.cli.show import moment, short, show_json, show_table, volume
from consortium.models.card_figures import doubts

EXIT_FAILED = 1
#: Characters of a digest or an id that name a model; with fewer a typing error might name one.
LEAST_PREFIX = 6
_HEARD = "the banks' nodes hear of it with their next contact, within a minute where they run"


@click.group()
def model() -> None:
    """List, fetch, promote, roll back and withdraw released models."""


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
        [m["name"], short(m["training"]), m["digest"][:16], moment(m["released_at"]), "yes" if m["in_force"] else ""]
        for m in models
    ]
    show_table("Models", ["name", "training", "digest", "released", "in force"], rows)


@model.command()
@click.argument("name")
@click.option("--digest", help="Of the model, or its first characters; without it the one in force.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@service_options
def get(  # noqa: PLR0917  # click passes them by name
    name: str, digest: str | None, out: Path, url: str, token: str, as_json: bool
) -> None:
    r"""Fetch a model's bytes, and verify them: by name the one in force, or by its training or its digest.

    \b
    Example:
      consortium model get fraud-2026 --out model.json
      consortium model get fraud-2026 --digest 1f0c9a2b --out candidate.json   # not promoted (yet)
    """
    require_writable(out)
    service = Service(url, token)
    view = service.get(f"/v1/models/{name}") if digest is None else _of_digest(service, name, digest)
    content = service.get_bytes(f"/v1/models/{view['training']}/content")
    found = hashlib.sha256(content).hexdigest()
    if found != view["sha256"]:
        refuse(
            f"model {view['digest']}: expected bytes of SHA-256 {view['sha256']}, got {found}: damaged on the way, or "
            "in the blob store; nothing is written. Fetch it again, or restore the blob store from a backup",
            EXIT_FAILED,
        )
    write_whole(out, content)
    if as_json:
        show_json(view | {"file": str(out)})
    else:
        standing = "in force" if view["in_force"] else "not in force"
        click.echo(f"{out}: model {view['digest']} ({standing}), {volume(len(content))}")


def _of_digest(service: Service, name: str, digest: str) -> dict[str, Any]:
    """The one model of this name whose digest begins so."""
    named: list[dict[str, Any]] = [m for m in service.get("/v1/models")["models"] if m["name"] == name]
    if not named:
        refuse(f"model {name}: there is none; `consortium model list` shows all", EXIT_REFUSED)
    found = {m["digest"]: m for m in reversed(named) if m["digest"].startswith(digest)}  # of equal ones the newest
    if len(found) != 1:
        known = ", ".join(sorted({m["digest"] for m in named}))
        refuse(
            f"model {name}: expected the digest of one model, got {digest!r}, which fits {len(found)}; it has {known}",
            EXIT_REFUSED,
        )
    return next(iter(found.values()))


def _named(service: Service, given: str) -> str:
    """A name as it is, or the digest of which, or of whose training, this is the beginning that `model list` shows."""
    wanted = given.rstrip("…").lower()
    if wanted and not re.fullmatch(r"[0-9a-f-]{1,63}", wanted):
        return given
    models = service.get("/v1/models")["models"]
    if any(m["name"] == given or wanted in {m["digest"], m["training"]} for m in models):
        return given
    if len(wanted) < LEAST_PREFIX:
        refuse(
            f"model {given!r}: expected at least {LEAST_PREFIX} characters of a digest or of a training's id, got "
            f"{len(wanted)}; `consortium model list` shows both",
            EXIT_REFUSED,
        )
    found = {m["training"]: m for m in models if m["digest"].startswith(wanted) or m["training"].startswith(wanted)}
    if len({m["digest"] for m in found.values()}) > 1:
        got = ", ".join(f"{m['digest'][:16]} of training {m['training']}" for m in list(found.values())[:5])
        refuse(f"model {given!r}: expected the beginning of one model's digest, got that of {got}", EXIT_REFUSED)
    return next((m["digest"] for m in found.values()), given)


@model.command()
@click.argument("name")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write it as one HTML file, with curves.")
@service_options
def card(name: str, html: Path | None, url: str, token: str, as_json: bool) -> None:
    r"""Show a model's card: what it was made of, how good it is, how it was protected.

    By training, by digest (the first characters are enough), or by name: the one in force, or else the newest, so that
    it can be read before a promotion.

    \b
    Example:
      consortium model card fraud-2026
      consortium model card fraud-2026 --html card.html
    """
    if html is not None:
        require_writable(html)
    service = Service(url, token)
    found = service.get(f"/v1/models/{_named(service, name)}/card")
    if html is not None:
        _write_page(found, html)
    if as_json:
        show_json(found)
    elif html is None:
        show_card(found)


def _write_page(card: dict[str, Any], out: Path) -> None:
    from consortium.models.card_page import render  # noqa: PLC0415  # `--help` answers without it
    from consortium.models.card_pictures import HOW_TO_GET_PICTURES, can_draw  # noqa: PLC0415

    write_whole(out, render(card).encode())
    click.echo(f"{out}: the card of model {card['digest'][:16]}", err=True)
    if not can_draw():
        click.echo(f"{out}: {HOW_TO_GET_PICTURES}", err=True)


def _show_act(view: dict[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        show_json(view)
        return
    click.echo(said)
    click.echo(_HEARD, err=True)


@model.command()
@click.argument("digest")
@service_options
def promote(digest: str, url: str, token: str, as_json: bool) -> None:
    r"""Put a model in force under its name: by its training or its digest, or the first characters of either. The
    banks' nodes score with it from their next contact on.

    \b
    Example:
      consortium model promote cc6cdc61
    """
    service = Service(url, token)
    named = _named(service, digest)
    # Before the act: what failed after it would look like its failure.
    doubt = doubts(service.get(f"/v1/models/{named}/card"))
    view = service.post(f"/v1/models/{named}/promotion")
    said = f"model {view['digest'][:16]} of training {view['training']} is in force as {view['name']}"
    _show_act(view, said, as_json=as_json)
    if doubt:
        click.echo(f"warning: {doubt}", err=True)


@model.command()
@click.argument("name")
@service_options
def rollback(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Withdraw the model in force under a name, and put the one back that was in force before it.

    \b
    Example:
      consortium model rollback fraud-2026
    """
    view = Service(url, token).post(f"/v1/models/{name}/rollback")
    said = f"model {view['digest'][:16]} of training {view['training']} is in force again as {view['name']}"
    _show_act(view, said, as_json=as_json)


@model.command()
@click.argument("name")
@service_options
def withdraw(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Leave no model in force under a name. The banks' nodes score with none of this name until one is promoted,
    unless somebody there names one by its digest.

    \b
    Example:
      consortium model withdraw fraud-2026
    """
    view = Service(url, token).post(f"/v1/models/{name}/withdrawal")
    said = f"no model is in force as {view['name']}; the last, or else the newest: {view['digest'][:16]}"
    _show_act(view, said, as_json=as_json)
