"""`consortium db`, and how commands that work on the database itself open it."""

from __future__ import annotations

import click

from consortium.cli.client import EXIT_FAILED, refuse, show_json
from consortium.cli.configuration import read_settings
from consortium.db import Database, DatabaseUnusable
from consortium.migrations import HEAD
from consortium.settings import Settings

#: A command does not wait as long for a database as a server that starts together with it.
_PATIENCE_S = 5.0


def open_database(settings: Settings, *, make: bool) -> Database:
    """The service's database with tables of this version.

    Args:
        settings: say where it is.
        make: make it if it is not there; otherwise the command ends: a token in a new one would never be of use.
    """
    try:
        database = Database(settings.database)
        if not make and not database.is_made():
            where = database.url.database if database.is_sqlite else "the server of CONSORTIUM_DATABASE_URL"
            refuse(
                f"database: expected the service's, got none at {where}; give the --data-dir (or the settings) of "
                "`consortium serve`, and start that first; `consortium token create --init` makes a new database",
                EXIT_FAILED,
            )
        if make:
            database.create(patience_s=_PATIENCE_S)
        else:
            database.require_current()
    except DatabaseUnusable as error:
        refuse(str(error), EXIT_FAILED)
    return database


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def upgrade(as_json: bool) -> None:
    r"""Bring the database's tables to this version; `consortium serve` does it by itself.

    \b
    Example:
      CONSORTIUM_DATABASE_URL=postgresql://… consortium db upgrade
    """
    open_database(read_settings(), make=True).close()
    if as_json:
        show_json({"revision": HEAD})
    else:
        click.echo("the database is up to date")
