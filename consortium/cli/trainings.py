"""`consortium training`."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from consortium.cli.client import (
    EXIT_NO_MODEL,
    Service,
    console,
    moment,
    service_options,
    show_json,
    show_table,
    volume,
)

_WAIT_S = 20


@click.group()
def training() -> None:
    """Start, watch and steer trainings."""


def _line(view: dict[str, Any]) -> str:
    banks = [bank for bank in view["banks"] if bank["on_roster"]]
    away = [bank["name"] for bank in banks if bank["away_since"] is not None]
    parts = [view["state"]]
    if view["protection"] == "none":
        parts.append("[bold red]WITHOUT ENCRYPTION[/bold red]")
    if view["state"] == "inviting":
        answered = sum(bank["answer"] != "pending" for bank in view["banks"])
        parts.append(f"{answered} of {len(view['banks'])} banks have answered")
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


def watch_training(service: Service, training_id: str) -> dict[str, Any]:
    """Shows a training's progress until it ends, and returns how it ended."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        bar = progress.add_task("", total=None)
        view: dict[str, Any] = service.get(f"/v1/trainings/{training_id}")
        while True:
            ended = view["state"] in {"completed", "failed", "cancelled"}
            total = view["rounds_done"] if ended else view["rounds_expected"]
            progress.update(bar, completed=view["rounds_done"], total=total, description=_line(view))
            if ended:
                return view
            view = service.get(f"/v1/trainings/{training_id}", wait=_WAIT_S)


def _end(view: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(view)
    elif view["model"] and view["state"] == "completed":
        console.print(f"model {view['model']} is released: consortium model card {view['id']}")
    if view["state"] in {"failed", "cancelled"}:
        click.echo(f"consortium: training {view['id']} {view['state']}: {view['reason']}", err=True)
        sys.exit(EXIT_NO_MODEL)


@training.command()
@click.argument("plan")
@click.option("--watch", "follow", is_flag=True, help="Stay and show the progress.")
@service_options
def start(plan: str, follow: bool, url: str, token: str, as_json: bool) -> None:
    r"""Start a training of a plan: its banks are invited.

    \b
    Example:
      consortium training start fraud-2026 --watch
    """
    service = Service(url, token)
    view = service.post("/v1/trainings", {"plan": plan})
    if follow:
        if not as_json:
            console.print(f"training {view['id']}")
        _end(watch_training(service, view["id"]) if not as_json else _wait(service, view["id"]), as_json=as_json)
    elif as_json:
        show_json(view)
    else:
        click.echo(view["id"])


def _wait(service: Service, training_id: str) -> dict[str, Any]:
    view: dict[str, Any] = service.get(f"/v1/trainings/{training_id}")
    while view["state"] not in {"completed", "failed", "cancelled"}:
        view = service.get(f"/v1/trainings/{training_id}", wait=_WAIT_S)
    return view


@training.command("list")
@service_options
def list_all(url: str, token: str, as_json: bool) -> None:
    r"""List the trainings, newest first.

    \b
    Example:
      consortium training list
    """
    trainings = Service(url, token).get("/v1/trainings")["trainings"]
    if as_json:
        show_json(trainings)
        return
    rows = [
        [t["id"], t["plan"], t["protection"], t["state"], str(t["rounds_done"]), volume(t["bytes_in"]),
         moment(t["created_at"]), t["reason"]]
        for t in trainings
    ]  # fmt: skip
    show_table("Trainings", ["id", "plan", "protection", "state", "rounds", "received", "created", "reason"], rows)


@training.command()
@click.argument("training_id")
@service_options
def show(training_id: str, url: str, token: str, as_json: bool) -> None:
    r"""Show a training: its banks, its progress, what happened.

    \b
    Example:
      consortium training show 3f0d…
    """
    service = Service(url, token)
    view = service.get(f"/v1/trainings/{training_id}")
    events = service.get(f"/v1/trainings/{training_id}/events")["events"]
    if as_json:
        show_json(view | {"events": events})
        return
    console.print(_line(view))
    show_table(
        "Banks", ["name", "answer", "roster", "away since", "same model", "says"],
        [
            [b["name"], b["answer"], "yes" if b["on_roster"] else "", moment(b["away_since"]),
             "yes" if b["confirmed"] else "", b["complaint"] or b["refusal"]]
            for b in view["banks"]
        ],
    )  # fmt: skip
    names = {bank["node"]: bank["name"] for bank in view["banks"]}
    show_table(
        "Events", ["when", "what", "bank", "round", ""],
        [
            [moment(e["at"]), e["kind"], names.get(e["node"], ""), str(e["round"] or ""), e["detail"]]
            for e in events
        ],
    )  # fmt: skip


@training.command()
@click.argument("training_id")
@service_options
def watch(training_id: str, url: str, token: str, as_json: bool) -> None:
    r"""Watch a training until it ends: rounds, banks answered, metric so far, time left.

    \b
    Example:
      consortium training watch 3f0d…
    """
    service = Service(url, token)
    _end(_wait(service, training_id) if as_json else watch_training(service, training_id), as_json=as_json)


def _steer(verb: str, done: str, help_text: str) -> None:
    @training.command(verb, help=f"{help_text}\n\n\b\nExample:\n  consortium training {verb} 3f0d…")
    @click.argument("training_id")
    @click.option("--reason", default="", help="For the banks and the record.")
    @service_options
    def steer(training_id: str, reason: str, url: str, token: str, as_json: bool) -> None:
        body = None if verb == "resume" else {"reason": reason}
        view = Service(url, token).post(f"/v1/trainings/{training_id}/{verb}", body)
        if as_json:
            show_json(view)
        else:
            click.echo(f"training {training_id} is {done}")


_steer("pause", "paused", "Pause a training until it is resumed; no deadline passes meanwhile.")
_steer("resume", "running again", "Resume a paused training; deadlines start anew.")
_steer("cancel", "cancelled", "End a training for good; the banks destroy its keys.")
