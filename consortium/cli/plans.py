"""`consortium plan`."""

from __future__ import annotations

from typing import Any

import click

from consortium.cli.card_text import show_features
from consortium.cli.client import Service, moment, reading_file, service_options, show_json, show_table, volume
from consortium.cli.numbers import WholeNumber
from consortium.cli.show import say
from consortium.plans import plan_facts


@click.group()
def plan() -> None:
    """Create and check plans: what a training does."""


def _show_check(view: dict[str, Any], *, whole: bool) -> None:
    """What a plan means; who must collude to learn what only where that was asked for."""
    check, protection = view["check"], view["plan"]["protection"]
    say(f"{view['plan']['name']}  digest {view['digest']}")
    say(
        f"about {check['rounds_expected']} rounds; about {volume(check['bytes_per_bank'])} sent by each of "
        f"{check['banks']} banks in contributions"
        + (", at most as much again by a committee member in shares" if protection["level"] == "ckks" else "")
    )
    say(f"first sum: {check['first_query']}, {check['first_values']} numbers")
    if protection["level"] == "ckks":
        say(
            f"threshold CKKS, any {check['threshold']} of {check['committee_size']} open a sum; "
            f"{check['bytes_per_value']:.3f} bytes a number; sums are exact (error at most {check['error_units']:.3f} "
            f"of a unit before rounding); smudging 2^-{check['smudging_bits']} a chunk"
        )
    if whole and check["collusion"]:
        rows = [[row["who"], row["learns"]] for row in check["collusion"]]
        show_table("Who must collude to learn what", ["who", "learns"], rows)
    for warning in check["warnings"]:
        say(f"warning: {warning}", style="bold red")


def _show_plan(view: dict[str, Any]) -> None:
    """What the plan says."""
    plan, settings = view["plan"], view["check"]["settings"]
    if plan["description"]:
        say(plan["description"])
    rows = [*plan_facts.facts(plan, settings), *plan_facts.safeguards(plan, settings)]
    show_table(f"Plan {plan['name']}", ["", ""], [list(row) for row in rows])
    show_features(plan)


@plan.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Check it only: the same as `plan check`.")
@service_options
def create(file: str, dry_run: bool, url: str, token: str, as_json: bool) -> None:
    r"""Create a plan from a JSON file, once it is checked.

    \b
    Example:
      consortium plan create plan.json
    """
    with reading_file(file) as body:
        view = Service(url, token).post("/v1/plans/check" if dry_run else "/v1/plans", body)
    if as_json:
        show_json(view)
    else:
        _show_check(view, whole=dry_run)


@plan.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--banks", type=WholeNumber(2, 4096), help="For how many banks. [default: those enrolled]")
@service_options
def check(file: str, banks: int | None, url: str, token: str, as_json: bool) -> None:
    r"""Say what a plan would mean: precision, bytes, who must collude to learn what. Nothing is kept.

    \b
    Example:
      consortium plan check plan.json --banks 7
    """
    query = {} if banks is None else {"banks": banks}
    with reading_file(file) as body:
        view = Service(url, token).post("/v1/plans/check", body, **query)
    if as_json:
        show_json(view)
    else:
        _show_check(view, whole=True)


@plan.command("list")
@service_options
def list_all(url: str, token: str, as_json: bool) -> None:
    r"""List the plans.

    \b
    Example:
      consortium plan list
    """
    plans = Service(url, token).get("/v1/plans")["plans"]
    if as_json:
        show_json(plans)
        return
    rows = [[p["name"], p["digest"][:16], moment(p["created_at"]), p["created_by"]] for p in plans]
    show_table("Plans", ["name", "digest", "created", "by"], rows)


@plan.command()
@click.argument("name")
@service_options
def show(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Show a plan: what it learns from which features, how it is protected, what it means for the banks enrolled.

    \b
    Example:
      consortium plan show fraud-2026
    """
    view = Service(url, token).get(f"/v1/plans/{name}")
    if as_json:
        show_json(view)
    else:
        _show_plan(view)
        _show_check(view, whole=True)


@plan.command()
@click.argument("name")
@service_options
def remove(name: str, url: str, token: str, as_json: bool) -> None:
    r"""Remove a plan of which no training was ever started; its name is free again.

    \b
    Example:
      consortium plan remove fraud-2026
    """
    removed = Service(url, token).delete(f"/v1/plans/{name}")
    if as_json:
        show_json(removed)
    else:
        click.echo(f"plan {removed['name']} is removed")
