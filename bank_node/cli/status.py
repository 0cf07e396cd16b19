"""`bank-node status`."""

from __future__ import annotations

import os
import sys
import time

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json
from bank_node.exit_codes import ExitCode
from bank_node.home import Home


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _whole(*sentences: str | None) -> list[str]:
    """Without those that another one quotes: the service says what this bank has told it."""
    said = list(dict.fromkeys(filter(None, sentences)))
    return [one for one in said if not any(one in other for other in said if other != one)]


@click.command()
@home_option
@json_option
@command_errors
def status(home: Home, as_json: bool) -> None:
    """Say what the agent did last, and whether it runs. Exits with 1 if it does not run.

    \b
    Example:
      bank-node status --json
    """
    from bank_node.identity import read_record  # noqa: PLC0415  # `--help` answers without it
    from bank_node.status import read_status  # noqa: PLC0415

    record, found = read_record(home), read_status(home.status)
    running = found is not None and not found.stopped and _alive(found.pid)
    if as_json:
        show_json(
            {"node": record.node, "name": record.name, "consortium": record.consortium, "running": running}
            | ({} if found is None else {"status": found.model_dump()})
        )
    else:
        click.echo(f"{record.name} at {record.consortium!r}: {'running' if running else 'not running'}")
        if found is not None and found.last_contact_at_s is not None:
            click.echo(f"last heard of the service {time.time() - found.last_contact_at_s:.0f} s ago")
        if found is not None and not running and found.stopped_by:
            click.echo(f"it stopped by itself: {found.stopped_by}")
        if found is not None and running and found.unanswered_since_s is not None:
            since = time.time() - found.unanswered_since_s
            click.echo(f"THE SERVICE HAS NOT ANSWERED for {since:.0f} s ({found.unanswered}); the node asks on")
        if found is not None and found.unlisted_banks:
            names = ", ".join(found.unlisted_banks)
            click.echo(f"trusted at first sight, fingerprints not compared: {names}; see `bank-node banks`")
        newest_first = [] if found is None else reversed(found.trainings.items())
        for training, seen in newest_first:
            open_text = "  WITHOUT ENCRYPTION" if seen.protection == "none" else ""
            of_plan = f"{seen.plan} ({training[:8]})" if seen.plan else training
            click.echo(f"  {of_plan}: {seen.state}, {seen.rounds} rounds{open_text}")
            for why in _whole(seen.complaint, seen.reason):
                click.echo(f"    {why}")
    if not running:
        sys.exit(ExitCode.FAILED)
