"""`consortium db`."""

from __future__ import annotations

import click

from consortium.cli.serve import read_settings
from consortium.db import Database


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    r"""Bring the database's tables to this version; `consortium serve` does it by itself.

    \b
    Example:
      CONSORTIUM_DATABASE_URL=postgresql://… consortium db upgrade
    """
    database = Database(read_settings().database)
    database.create()
    click.echo("the database is up to date")
