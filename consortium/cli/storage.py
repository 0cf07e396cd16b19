"""`consortium storage`."""

from __future__ import annotations

from typing import Any

import click

from consortium.cli.client import Service, moment, service_options, show_json, show_table, volume
from consortium.cli.show import short

_BODIES = ("contributions", "shares", "sealed", "sums")


@click.group()
def storage() -> None:
    """See what is stored for which training, and delete what is past its plan's retention."""


def _bodies(found: dict[str, Any]) -> int:
    return sum(int(found[name]) for name in _BODIES)


@storage.command()
@service_options
def show(url: str, token: str, as_json: bool) -> None:
    r"""Show how much is stored for each training, and when it goes.

    Contributions, shares, sealed messages and sums go `retention_days` (of the plan) after the end of a training;
    digests, statements, aggregates and models stay. The workers see to it by themselves.

    \b
    Example:
      consortium storage show
    """
    found = Service(url, token).get("/v1/storage")["trainings"]
    if as_json:
        show_json(found)
        return
    rows = [
        [short(one["training"]), one["plan"], one["state"], volume(_bodies(one)), volume(one["kept"]),
         _goes(one)]
        for one in found
    ]  # fmt: skip
    show_table("Storage", ["training", "plan", "state", "bodies", "aggregates", "bodies go"], rows)


def _goes(found: dict[str, Any]) -> str:
    if found["swept_at"] is not None:
        return f"gone {moment(found['swept_at'])}"
    if found["deletable_from"] is None:
        return "after the training"
    return "now" if found["deletable"] else moment(found["deletable_from"])


@storage.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@service_options
def sweep(dry_run: bool, url: str, token: str, as_json: bool) -> None:
    r"""Delete what is past its retention now, not within the next minutes.

    \b
    Example:
      consortium storage sweep --dry-run
    """
    due = Service(url, token).post("/v1/storage/sweep", {"dry_run": dry_run})["trainings"]
    if as_json:
        show_json(due)
        return
    for one in due:
        click.echo(f"{one['training']}\t{one['plan']}\t{volume(_bodies(one))}")
    total = volume(sum(_bodies(one) for one in due))
    done = "would go" if dry_run else "are being deleted by the workers"
    click.echo(f"{total} of {len(due)} trainings {done}" if due else "nothing is past its retention", err=True)
