"""`consortium serve` and `consortium worker`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from consortium.cli.client import refuse
from consortium.logs import configure_logging
from consortium.serve import listen
from consortium.serve import serve as run_server
from consortium.settings import Settings


def read_settings(**given: Any) -> Settings:
    """The settings from the environment, with what was given on the command line on top."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [f"CONSORTIUM_{finding['loc'][0]}: {finding['msg']}".upper() for finding in error.errors()]
        raise click.UsageError("; ".join(lines)) from error


@click.command()
@click.option("--host", help="Address to listen on. [env: CONSORTIUM_HOST; default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for a free one. [env: CONSORTIUM_PORT; 8440]")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False),
    help="Folder of database and blobs, unless URLs name others. [env: CONSORTIUM_DATA_DIR; ./consortium-data]",
)  # fmt: skip
def serve(host: str | None, port: int | None, data_dir: Path | None) -> None:
    r"""Serve the API; without CONSORTIUM_REDIS_URL with a worker inside, so that this is all that must run.

    \b
    Example:
      consortium serve --port 8440 --data-dir /var/lib/consortium
      CONSORTIUM_REDIS_URL=redis://… CONSORTIUM_DATABASE_URL=postgresql://… consortium serve
    """
    settings = read_settings(host=host, port=port, data_dir=data_dir)
    configure_logging(settings.log_level)
    try:
        listening = listen(settings)
    except OSError as error:
        refuse(f"{settings.host}:{settings.port}: {error.strerror}; choose another --port", 1)
    port_taken = listening.getsockname()[1]
    worker = "with an embedded worker" if settings.redis is None else "with workers on the broker"
    click.echo(f"consortium {settings.name!r} on http://{settings.host}:{port_taken} {worker}; API: /docs", err=True)
    click.echo("no token yet? `consortium token create NAME --role admin` with the same --data-dir", err=True)
    run_server(listening, settings)


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 256), help="Tasks at once. [default: one a processor]")
def worker(concurrency: int | None) -> None:
    r"""Work for the service: validate, add and open sums. Holds no keys; start as many as you like.

    \b
    Example:
      CONSORTIUM_REDIS_URL=redis://… CONSORTIUM_DATABASE_URL=postgresql://… consortium worker --concurrency 2
    """
    settings = read_settings(worker_concurrency=concurrency)
    if settings.redis is None:
        raise click.UsageError("CONSORTIUM_REDIS_URL is not set; without a broker `consortium serve` works itself")
    # The workers' package imports this one, so it is started by its name.
    os.environ["CONSORTIUM_WORKER_CONCURRENCY"] = str(settings.worker_concurrency)
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606  # no shell, our own module
