"""What the commands share: the home folder, JSON output, and how an error ends a command."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import structlog

from bank_node.errors import NodeError
from bank_node.exit_codes import ExitCode, exit_code_of
from bank_node.home import Home

home_option = click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), envvar="BANK_NODE_HOME", default=Path("bank-node"),
    show_default=True, help="The node's folder. [env: BANK_NODE_HOME]",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def command_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turns the node's errors into a sentence and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, home: Path, **kwargs: Any) -> Any:
        try:
            return command(*args, home=Home(home), **kwargs)
        except NodeError as error:
            click.echo(f"bank-node: {error.in_full()}", err=True)
            sys.exit(exit_code_of(error))
        except BrokenPipeError:
            raise  # who has asked has heard enough: click ends quietly
        except OSError as error:
            what = error.strerror or type(error).__name__
            click.echo(f"bank-node: {error.filename or 'a file'}: {what}; check its owner and the disk", err=True)
            sys.exit(ExitCode.FAILED)
        except KeyboardInterrupt:
            sys.exit(ExitCode.INTERRUPTED)

    return run


def show_json(value: Any) -> None:
    """Prints JSON."""
    click.echo(json.dumps(value, indent=2))


def warn(sentences: Iterable[str]) -> None:
    """Prints warnings, beside what a program may read."""
    for sentence in sentences:
        click.echo(f"bank-node: warning: {sentence}", err=True)


def _for_people() -> structlog.dev.ConsoleRenderer:
    # The default formatter would print the local variables of every frame: keys and rows among them.
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def configure_logging(level: str) -> None:
    """Structured logs on standard error: one JSON object a line; for people on a terminal."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _for_people() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
