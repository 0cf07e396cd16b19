"""`bank-node ledger`."""

from __future__ import annotations

import math

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json
from bank_node.home import Home


@click.command()
@home_option
@json_option
@command_errors
def ledger(home: Home, as_json: bool) -> None:
    """Show what trainings have cost in privacy, and what the policy's budget leaves.

    \b
    Example:
      bank-node ledger
    """
    from bank_node.durable import Disk  # noqa: PLC0415  # `--help` answers without it
    from bank_node.ledger import BankLedger, epsilon_text  # noqa: PLC0415
    from bank_node.policy_file import load_policy  # noqa: PLC0415
    from bank_node.registry import Registry  # noqa: PLC0415
    from learning.privacy import epsilon  # noqa: PLC0415

    home.require_enrolled()
    disk = Disk()
    book = BankLedger(home.ledger, disk, load_policy(home).settings, Registry(home.models, disk)).read()
    lines = {e.purpose: math.inf if e.spent is None else epsilon((e.spent,), book.delta) for e in book.entries}
    if as_json:
        finite = {training: cost if math.isfinite(cost) else None for training, cost in lines.items()}
        total, budget = (value if math.isfinite(value) else None for value in (book.epsilon(), book.budget))
        show_json({"epsilon": total, "delta": book.delta, "budget": budget, "trainings": finite})
        return
    for training, cost in lines.items():
        click.echo(f"{training}  {epsilon_text(cost)}")
    budget_text = f"of {book.budget:g}" if math.isfinite(book.budget) else "without a budget"
    click.echo(f"epsilon in all  {epsilon_text(book.epsilon())} {budget_text}, at delta {book.delta:g}")
