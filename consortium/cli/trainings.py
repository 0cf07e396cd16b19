"""`consortium training`."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import click

from consortium.cli.client import (
    EXIT_INTERRUPTED,
    EXIT_NO_MODEL,
    EXIT_REFUSED,
    Service,
    moment,
    refuse,
    service_options,
    show_json,
    show_table,
    volume,
)
from consortium.cli.numbers import WholeNumber
from consortium.cli.show import say, short
from consortium.cli.watching import ENDED, line_of, watch
from protocol.ids import UUID_PATTERN

_FOLLOW_EVERY_S = 1.0
_MOST = 500


@click.group()
def training() -> None:
    """Start, watch and steer trainings."""


def find_training(service: Service, given: str, *, of_plan: bool = False) -> str:
    """A training's id from its beginning.

    Args:
        service: the service.
        given: an id, or as many of its first characters as no other training's has.
        of_plan: a plan's name means its newest training; not where something is done to what was meant.
    """
    wanted = given.rstrip("…").lower()
    if re.match(UUID_PATTERN, wanted):
        return wanted
    listed = service.get("/v1/trainings", limit=_MOST)["trainings"]
    found: list[str] = [one["id"] for one in listed if one["id"].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    newest: str = next((one["id"] for one in listed if one["plan"] == given), "")
    if newest and of_plan and not found:
        return newest
    expected, got = "the beginning of one training's id", f"none of the newest {len(listed)}"
    if found:
        got = f"that of {len(found)}: {', '.join(found[:5])}"
    elif newest:
        got = f"a plan, whose newest training is {newest}"
    elif not re.fullmatch(r"[0-9a-f-]{1,36}", wanted):
        expected = "an id or its first characters, such as 3f0d1c2e" + (", or a plan that was trained" * of_plan)
        got = "neither; `consortium training list` shows them"
    return refuse(f"training {given!r}: expected {expected}, got {got}", EXIT_REFUSED)


def _watched(service: Service, training_id: str, *, as_json: bool) -> dict[str, Any]:
    try:
        return watch(service, training_id, silent=as_json)
    except KeyboardInterrupt:
        click.echo(
            f"training {training_id} goes on; `consortium training watch {short(training_id)}` shows it again, "
            "`training cancel` ends it",
            err=True,
        )
        sys.exit(EXIT_INTERRUPTED)


def _end(view: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(view)
    elif view["model"] and view["state"] == "completed":
        say(f"model {view['model']} is released: consortium model card {view['id']}")
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
            say(f"training {view['id']}")
        _end(_watched(service, view["id"], as_json=as_json), as_json=as_json)
    elif as_json:
        show_json(view)
    else:
        click.echo(view["id"])


@training.command("list")
@click.option("--limit", type=WholeNumber(1, _MOST - 1), default=50, show_default=True, help="How many.")
@service_options
def list_all(limit: int, url: str, token: str, as_json: bool) -> None:
    r"""List the trainings, newest first.

    \b
    Example:
      consortium training list --limit 200
    """
    trainings = Service(url, token).get("/v1/trainings", limit=limit + 1)["trainings"]
    more, trainings = len(trainings) > limit, trainings[:limit]
    if as_json:
        show_json(trainings)
    else:
        rows = [
            [short(t["id"]), t["plan"], t["state"] if t["protection"] != "none" else f"{t['state']} UNENCRYPTED",
             str(t["rounds_done"]), volume(t["bytes_in"]), moment(t["created_at"]), t["reason"]]
            for t in trainings
        ]  # fmt: skip
        show_table("Trainings", ["id", "plan", "state", "rounds", "received", "created", "reason"], rows)
    if more:
        click.echo(f"the newest {limit}; there are more: --limit {min(_MOST - 1, limit * 4)}", err=True)


@training.command()
@click.argument("training_id", metavar="TRAINING")
@click.option("--limit", type=WholeNumber(1, 5000), help="Newest events to show. [default: 50; with --json 500]")
@click.option("--follow", is_flag=True, help="Stay and print each event as it happens.")
@service_options
def show(training_id: str, limit: int | None, follow: bool, url: str, token: str, as_json: bool) -> None:  # noqa: PLR0917  # click names them all
    r"""Show a training: its banks, its progress, what happened. The first characters of its id will do, or a plan for
    its newest training.

    \b
    Example:
      consortium training show 3f0d1c2e --follow
    """
    service = Service(url, token)
    training_id = find_training(service, training_id, of_plan=True)
    view = service.get(f"/v1/trainings/{training_id}")
    wanted = limit or (500 if as_json else 50)
    events = service.get(f"/v1/trainings/{training_id}/events", newest="true", limit=wanted)["events"]
    if as_json:
        show_json(view | {"events": events})
    else:
        _show(view, events, more=len(events) == wanted)
    if follow:
        _follow(service, view, events[-1]["id"] if events else -1, as_json=as_json)


def _show(view: dict[str, Any], events: list[dict[str, Any]], *, more: bool) -> None:
    say(line_of(view), style="bold red" if view["protection"] == "none" else None)
    show_table(
        "Banks", ["name", "answer", "roster", "away since", "same model", "says"],
        [
            [b["name"], b["answer"], "yes" if b["on_roster"] else "", moment(b["away_since"]),
             "yes" if b["confirmed"] else "", b["complaint"] or b["refusal"]]
            for b in view["banks"]
        ],
    )  # fmt: skip
    show_table(
        "Events, the newest last", ["when", "what", "bank", "round", "detail"],
        [_event(view, event) for event in events],
    )  # fmt: skip
    if more:
        click.echo(f"the newest {len(events)} events; for more: --limit {min(5000, len(events) * 10)}", err=True)


def _event(view: dict[str, Any], event: dict[str, Any]) -> list[str]:
    names = {bank["node"]: bank["name"] for bank in view["banks"]}
    number = "" if event["round"] is None else str(event["round"])
    return [moment(event["at"]), event["kind"], names.get(event["node"], ""), number, event["detail"]]


def _follow(service: Service, view: dict[str, Any], after: int, *, as_json: bool) -> None:
    """Prints events as they happen until the training has ended."""
    path, said = f"/v1/trainings/{view['id']}", ""

    def say_away(text: str) -> None:
        nonlocal said
        if text != said and text:
            click.echo(text, err=True)
        said = text

    while True:
        ended = service.get_patiently(path, say_away)["state"] in ENDED  # before its last events are read
        for event in service.get_patiently(f"{path}/events", say_away, after=after, limit=_MOST)["events"]:
            after = event["id"]
            if as_json:
                show_json(event)
            else:
                click.echo("\t".join(_event(view, event)))
        if ended:
            return
        time.sleep(_FOLLOW_EVERY_S)


@training.command("watch")
@click.argument("training_id", metavar="TRAINING")
@service_options
def watch_one(training_id: str, url: str, token: str, as_json: bool) -> None:
    r"""Watch a training until it ends: rounds, banks answered, metric so far, time left.

    It waits for a service that is away. Its exit code says how the training ended. The first characters of the
    training's id will do, or a plan for its newest training.

    \b
    Example:
      consortium training watch 3f0d1c2e
    """
    service = Service(url, token)
    training_id = find_training(service, training_id, of_plan=True)
    _end(_watched(service, training_id, as_json=as_json), as_json=as_json)


def _steer(verb: str, done: str, help_text: str, *, with_reason: bool = True) -> None:
    def steer(training_id: str, url: str, token: str, as_json: bool, reason: str = "") -> None:
        service = Service(url, token)
        training_id = find_training(service, training_id)
        view = service.post(f"/v1/trainings/{training_id}/{verb}", {"reason": reason} if with_reason else None)
        if as_json:
            show_json(view)
        else:
            click.echo(f"training {training_id} is {done}")

    steer = service_options(steer)
    if with_reason:
        steer = click.option("--reason", default="", help="For the banks and the record.")(steer)
    steer = click.argument("training_id", metavar="TRAINING")(steer)
    training.command(verb, help=f"{help_text}\n\n\b\nExample:\n  consortium training {verb} 3f0d1c2e")(steer)


_steer("pause", "paused", "Pause a training in its rounds until it is resumed; no deadline passes meanwhile.")
_steer("resume", "running again", "Resume a paused training; deadlines start anew.", with_reason=False)
_steer("cancel", "cancelled", "End a training for good; the banks destroy its keys.")
