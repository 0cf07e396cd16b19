"""How the command talks to the service, and how it shows what comes back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

import click
import httpx
from rich.console import Console
from rich.table import Table

EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_NO_MODEL = 3, 4, 5
_TIMEOUT_S = 90.0

console = Console()


class Service:
    """The service's API, with an operator's token.

    Args:
        url: the service's address.
        token: the operator's.
    """

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=httpx.Timeout(_TIMEOUT_S, connect=5.0)
        )
        self._url = url

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a `GET`."""
        return self._ask("GET", path, params=query).json()

    def get_bytes(self, path: str) -> bytes:
        """The bytes of a `GET`."""
        return self._ask("GET", path).content

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of a `POST`."""
        return self._ask("POST", path, json=body, params=query).json()

    def delete(self, path: str) -> Any:
        """The JSON of a `DELETE`."""
        return self._ask("DELETE", path).json()

    def _ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        if parts.get("json") is None:
            parts.pop("json", None)
        try:
            answer = self._client.request(method, path, **parts)
        except httpx.HTTPError as error:
            refuse(
                f"{self._url} does not answer ({type(error).__name__}); is `consortium serve` running, and is "
                "CONSORTIUM_URL right?",
                EXIT_UNREACHABLE,
            )
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        detail = problem.get("detail", f"HTTP {answer.status_code}")
        for field in problem.get("fields", [])[1:]:
            detail += f"\n  {field['field']}: {field['message']}"
        return refuse(f"{detail}  [{problem.get('type', answer.status_code)}]", EXIT_REFUSED)


def refuse(message: str, code: int) -> NoReturn:
    """Ends the command with a sentence and an exit code."""
    click.echo(f"consortium: {message}", err=True)
    sys.exit(code)


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--url`, `--token` and `--json` for a command that talks to the service."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)
    command = click.option(
        "--token", envvar="CONSORTIUM_TOKEN", required=True, help="An operator's token. [env: CONSORTIUM_TOKEN]"
    )(command)
    return click.option(
        "--url", envvar="CONSORTIUM_URL", default="http://127.0.0.1:8440", show_default=True,
        help="The service's address. [env: CONSORTIUM_URL]",
    )(command)  # fmt: skip


def show_json(value: Any) -> None:
    """Prints JSON."""
    click.echo(json.dumps(value, indent=2))


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table; on anything but a terminal too."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def moment(seconds: float | None) -> str:
    """A time for people, in UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def volume(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


@contextmanager
def reading_file(path: str) -> Iterator[Any]:
    """A JSON file's content, or a clear end."""
    try:
        with click.open_file(path, encoding="utf-8") as file:
            yield json.load(file)
    except OSError as error:
        refuse(f"{path}: {error.strerror}", 2)
    except ValueError as error:
        refuse(f"{path}: expected JSON: {error}", 2)
