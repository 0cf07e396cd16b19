"""`consortium serve` and `consortium worker`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from consortium.cli.client import EXIT_FAILED, refuse
from consortium.cli.configuration import read_settings
from consortium.cli.numbers import WholeNumber
from consortium.errors import ConsortiumError
from consortium.logs import configure_logging
from consortium.serve import listen, prepare
from consortium.serve import serve as run_server


@click.command()
@click.option("--host", help="Address to listen on. [env: CONSORTIUM_HOST; default: 127.0.0.1]")
@click.option("--port", type=WholeNumber(0, 65535), help="Port; 0 for a free one. [env: CONSORTIUM_PORT; 8440]")
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
        prepare(settings)
    except ConsortiumError as error:
        refuse(str(error), EXIT_FAILED)
    try:
        listening = listen(settings)
    except OSError as error:
        said = error.strerror or str(error)
        refuse(f"{settings.host}:{settings.port}: {said}; choose another --host or --port", EXIT_FAILED)
    port_taken = listening.getsockname()[1]
    worker = "with an embedded worker" if settings.redis is None else "with workers on the broker"
    click.echo(f"consortium {settings.name!r} on http://{settings.host}:{port_taken} {worker}; API: /docs", err=True)
    click.echo("no token yet? `consortium token create NAME --role admin` with the same --data-dir", err=True)
    run_server(listening, settings)


@click.command()
@click.option("--concurrency", type=WholeNumber(1, 256), help="Tasks at once. [default: one a processor]")
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
