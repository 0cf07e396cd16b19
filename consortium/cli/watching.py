"""Watches a training: a bar on a terminal; elsewhere a line for every change of state and every tenth of the rounds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from consortium.cli.client import Service
from consortium.cli.show import console

ENDED = {"completed", "failed", "cancelled"}
_WAIT_S = 20
_MILESTONES = 10
_NO_WORKER = f"no bank is waited for, and nothing has moved for {_WAIT_S} s: does a `consortium worker` run?"

#: Shows a training's view, or (without one) what is said about the service.
Show = Callable[[dict[str, Any] | None, str], None]


def line_of(view: dict[str, Any]) -> str:
    """Where a training stands, in one line."""
    banks = [bank for bank in view["banks"] if bank["on_roster"]]
    away = [bank["name"] for bank in banks if bank["away_since"] is not None]
    parts = [view["state"]]
    if view["protection"] == "none":
        parts.append("WITHOUT ENCRYPTION")
    if view["state"] == "inviting":
        parts.append(f"{_answered(view)} of {len(view['banks'])} banks have answered")
    current = view["current"]
    if current is not None:
        parts.append(f"{current['query']}: {current['answered']} of {current['expected']} banks")
        if current["state"] == "decrypting":
            parts.append(f"{current['shares'][0]} of {current['shares'][1]} shares")
    if away:
        parts.append(f"away: {', '.join(away)}")
    parts += [f"{name} {value:.4g}" for name, value in view["metrics"].items()]
    if view["seconds_left"] is not None:
        parts.append(f"about {view['seconds_left']:.0f} s left")
    if view["reason"]:
        parts.append(view["reason"])
    return " · ".join(parts)


def watch(service: Service, training_id: str, *, silent: bool) -> dict[str, Any]:
    """Follows a training until it ends, however often the service is away meanwhile; how it ended."""
    view: dict[str, Any] = service.get(f"/v1/trainings/{training_id}")
    shown = _bar() if console.is_terminal and not silent else _lines(silent=silent)
    with shown as show:
        show(view, "")
        while view["state"] not in ENDED:
            before = view
            view = service.get_patiently(f"/v1/trainings/{training_id}", lambda said: show(None, said), wait=_WAIT_S)
            # The service answers as soon as something has moved.
            if _is_with_workers(view) and _standing(view) == _standing(before):
                show(None, _NO_WORKER)
            else:
                show(view, "")
    return view


def _standing(view: dict[str, Any]) -> tuple[object, ...]:
    """What moves with every step, unlike the times."""
    current = view["current"]
    step = None if current is None else (current["state"], current["answered"], current["shares"])
    away = tuple(bank["away_since"] for bank in view["banks"])
    return view["state"], view["reason"], view["rounds_done"], step, away


def _is_with_workers(view: dict[str, Any]) -> bool:
    """Whether no bank owes anything: the next step is a worker's."""
    current = view["current"]
    if view["state"] != "running" or current is None:
        return bool(view["state"] == "running")
    if current["state"] == "collecting":
        return bool(current["answered"] >= current["expected"])
    given, asked = current["shares"]
    return bool(0 < asked <= given)  # none is asked for while banks vote


@contextlib.contextmanager
def _bar() -> Iterator[Show]:
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        bar = progress.add_task("", total=None)

        def show(view: dict[str, Any] | None, said: str) -> None:
            if view is None:
                progress.update(bar, description=f"[bold red]{escape(said)}[/bold red]")
                return
            total = view["rounds_done"] if view["state"] in ENDED else view["rounds_expected"]
            progress.update(bar, completed=view["rounds_done"], total=total, description=escape(line_of(view)))

        yield show


@contextlib.contextmanager
def _lines(*, silent: bool) -> Iterator[Show]:
    """On standard error, so that a command's own answer can be piped on; silent but for a service that is away."""
    last: list[object] = []

    def show(view: dict[str, Any] | None, said: str) -> None:
        mark: object = said.partition(";")[0] if view is None else _milestone(view)
        if last == [mark] or (view is None and not said):
            return
        last[:] = [mark]
        if view is None:
            click.echo(said, err=True)
            return
        if silent:
            return
        of = f" of about {view['rounds_expected']}" if view["rounds_expected"] else ""
        click.echo(f"round {view['rounds_done']}{of} · {line_of(view)}", err=True)

    yield show


def _milestone(view: dict[str, Any]) -> tuple[object, ...]:
    expected = view["rounds_expected"]
    step = max(1, expected // _MILESTONES) if expected else _MILESTONES
    away = tuple(bank["name"] for bank in view["banks"] if bank["away_since"] is not None)
    return view["state"], view["reason"], view["rounds_done"] // step, away, _answered(view)


def _answered(view: dict[str, Any]) -> int:
    """How many banks have answered the invitation."""
    return sum(bank["answer"] != "pending" for bank in view["banks"])
