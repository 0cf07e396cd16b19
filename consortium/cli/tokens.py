"""`consortium token`: works on the database itself, so that the first token needs no token."""

from __future__ import annotations

import time
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from consortium.access.errors import TokenAmbiguous, TokenNotThere
from consortium.access.service import Role, create_token, list_tokens, revoke_token, tokens_in_use
from consortium.cli.client import EXIT_REFUSED, moment, refuse, show_json, show_table
from consortium.cli.configuration import read_settings
from consortium.cli.database import open_database
from consortium.cli.numbers import Number
from consortium.cli.show import short
from consortium.db import Database
from protocol.findings import explained
from protocol.ids import Name

_DATA_DIR = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False),
    help="The service's folder, unless CONSORTIUM_DATABASE_URL is set. [env: CONSORTIUM_DATA_DIR]",
)  # fmt: skip
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def _database(data_dir: Path | None, *, make: bool = False) -> Database:
    return open_database(read_settings(data_dir=data_dir), make=make)


def _checked_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        return str(TypeAdapter(Name).validate_python(name))
    except ValidationError as error:
        raise click.BadParameter(explained(error.errors()[0], repr(name))) from error


@click.group()
def token() -> None:
    """Make and revoke operators' tokens. Run where the service's database can be reached."""


@token.command()
@click.argument("name", callback=_checked_name)
@click.option("--role", type=click.Choice([role.value for role in Role]), default="operator", show_default=True)
@click.option("--days", type=Number(0, 3660, min_open=True), help="Until it expires. [default: never]")
@click.option("--init", "make", is_flag=True, help="Make the database if there is none.")
@_DATA_DIR
@_JSON
def create(name: str, role: str, days: float | None, make: bool, data_dir: Path | None, as_json: bool) -> None:  # noqa: PLR0917  # click names them all
    r"""Make a token and show it, this once.

    \b
    Example:
      export CONSORTIUM_TOKEN=$(consortium token create ops --role admin --data-dir /var/lib/consortium)
    """
    with _database(data_dir, make=make).transaction("cli.token") as s:
        same_name = [(other.id, other.role) for other in tokens_in_use(s, name, now=time.time())]
        row, made = create_token(
            s, name=name, role=Role(role), by="command line", now=time.time(),
            lifetime_s=None if days is None else days * 86400,
        )  # fmt: skip
        identifier = row.id
    for other, its_role in same_name:
        click.echo(
            f"consortium: warning: token {other} ({its_role}) is named {name} as well, and goes on; `consortium token "
            f"revoke {other}` ends it",
            err=True,
        )
    if as_json:
        show_json({"id": identifier, "name": name, "role": role, "token": made})
    else:
        click.echo(made)


@token.command("list")
@_DATA_DIR
@_JSON
def list_all(data_dir: Path | None, as_json: bool) -> None:
    r"""List the tokens, without the secrets themselves.

    \b
    Example:
      consortium token list --data-dir /var/lib/consortium
    """
    with _database(data_dir).reading("cli.tokens") as s:
        rows = list_tokens(s)
    if as_json:
        show_json(
            [
                {"id": row.id, "name": row.name, "role": row.role, "created_at": row.created_at,
                 "expires_at": row.expires_at, "revoked_at": row.revoked_at}
                for row in rows
            ]
        )  # fmt: skip
        return
    show_table(
        "Tokens", ["id", "name", "role", "created", "expires", "revoked"],
        [[short(r.id), r.name, r.role, moment(r.created_at), moment(r.expires_at), moment(r.revoked_at)] for r in rows],
    )  # fmt: skip


@token.command()
@click.argument("token")
@_DATA_DIR
@_JSON
def revoke(token: str, data_dir: Path | None, as_json: bool) -> None:
    r"""Revoke a token, by its id, or by its name if only one of this name is in use.

    \b
    Example:
      consortium token revoke ops
      consortium token revoke 0b6f8d0c-…
    """
    try:
        with _database(data_dir).transaction("cli.revoke") as s:
            row = revoke_token(s, token, now=time.time())
    except (TokenAmbiguous, TokenNotThere) as error:
        refuse(str(error), EXIT_REFUSED)
    if as_json:
        show_json({"id": row.id, "name": row.name, "role": row.role, "revoked_at": row.revoked_at})
    else:
        click.echo(f"token {row.id} ({row.name}) is revoked")
