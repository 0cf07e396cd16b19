"""How the command talks to the service."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

import click
import httpx

from consortium.cli.show import console, moment, show_json, show_table, volume

__all__ = [
    "EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_NO_MODEL", "EXIT_REFUSED", "EXIT_UNREACHABLE", "Service", "console",
    "moment", "reading_file", "refuse", "service_options", "show_json", "show_table", "volume",
]  # fmt: skip

EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_NO_MODEL, EXIT_INTERRUPTED = 1, 3, 4, 5, 130
_TIMEOUT_S = 90.0
_AGAIN_S = 1.0
#: A proxy's or the service's own "not now".
_AWAY = {502, 503, 504}


class Service:
    """The service's API, with an operator's token.

    Args:
        url: the service's address.
        token: the operator's.
    """

    def __init__(self, url: str, token: str) -> None:
        if not re.fullmatch(r"https?://[^\s/]+[^\s]*", url):
            raise click.UsageError(
                f"--url: expected http://HOST:PORT or https://HOST, got {url!r} [env: CONSORTIUM_URL]"
            )
        if not token:
            raise click.UsageError(
                "--token: an operator's token is needed [env: CONSORTIUM_TOKEN]; `consortium token create NAME --role "
                "operator` makes one, where the service runs"
            )
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise click.UsageError("--token: expected one word, as `consortium token create` prints it")
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=httpx.Timeout(_TIMEOUT_S, connect=5.0)
        )
        self._url = url

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a `GET`."""
        return self._ask("GET", path, params=query).json()

    def get_patiently(self, path: str, say: Callable[[str], None], **query: Any) -> Any:
        """The JSON of a `GET`, however long the service is away meanwhile.

        Args:
            path: what to get.
            say: is told that the service is away, once a try; and the empty string when it is back.
            query: the parameters.
        """
        since = None
        while (answer := self._try(path, query)) is None:
            since = since or datetime.now(UTC)
            say(f"service away since {since:%H:%M:%S} UTC; trying again")
            time.sleep(_AGAIN_S)
        if since is not None:
            say("")
        return self._taken(answer).json()

    def _try(self, path: str, query: dict[str, Any]) -> httpx.Response | None:
        try:
            answer = self._client.get(path, params=query)
        except httpx.HTTPError:
            return None
        return None if answer.status_code in _AWAY else answer

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
        return self._taken(answer)

    def _taken(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        if not isinstance(problem, dict) or "detail" not in problem:
            said = f"HTTP {answer.status_code}"
            return refuse(f"{self._url} is no consortium's service: expected its API, got {said}", EXIT_REFUSED)
        detail = problem["detail"]
        for field in problem.get("fields", [])[1:]:
            detail += f"\n  {field['field']}: {field['message']}"
        kind = str(problem.get("type", answer.status_code)).rpartition(":")[2]
        return refuse(f"{detail}  [{kind}]", EXIT_UNREACHABLE if answer.status_code in _AWAY else EXIT_REFUSED)


def refuse(message: str, code: int) -> NoReturn:
    """Ends the command with a sentence and an exit code."""
    click.echo(f"consortium: {message}", err=True)
    sys.exit(code)


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--url`, `--token` and `--json` for a command that talks to the service."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)
    command = click.option(
        "--token", envvar="CONSORTIUM_TOKEN", default="", help="An operator's token. [env: CONSORTIUM_TOKEN]"
    )(command)
    return click.option(
        "--url", envvar="CONSORTIUM_URL", default="http://127.0.0.1:8440", show_default=True,
        help="The service's address. [env: CONSORTIUM_URL]",
    )(command)  # fmt: skip


@contextmanager
def reading_file(path: str) -> Iterator[Any]:
    """A JSON file's content, or a clear end."""
    try:
        with click.open_file(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        refuse(f"{path}: {error.strerror}", 2)
    except ValueError as error:
        refuse(f"{path}: expected JSON, got something else: {error}", 2)
    yield content
