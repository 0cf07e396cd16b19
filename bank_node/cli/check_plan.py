"""`bank-node check-plan`."""

from __future__ import annotations

from pathlib import Path

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json, warn
from bank_node.errors import DataUnfit, PlanInvalid, Refused
from bank_node.home import Home


@click.command("check-plan")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@home_option
@json_option
@command_errors
def check_plan(file: Path, home: Home, as_json: bool) -> None:
    """Say whether this bank would take part in a plan, and if not why: a dry run of policy and data.

    Warnings say where its rows have little of what the plan learns from; the operator is not told them.

    \b
    Example:
      bank-node check-plan plan.json
    """
    from pydantic import ValidationError  # noqa: PLC0415  # `--help` answers without it

    from bank_node.opening import open_node  # noqa: PLC0415
    from bank_node.policy import PlanRequest  # noqa: PLC0415
    from protocol.findings import explained, fields_in  # noqa: PLC0415
    from protocol.plan import Plan  # noqa: PLC0415

    try:
        plan = Plan.model_validate_json(file.read_bytes())
    except ValidationError as error:
        found = error.errors()[0]
        said = explained(found, known=fields_in(Plan.model_json_schema()))
        if found["type"] == "json_invalid":
            raise click.BadParameter(f"{file}: {said}", param_hint="FILE") from error
        raise PlanInvalid(str(file), field=".".join(map(str, found["loc"])) or "plan", said=said) from error
    with open_node(home) as node:
        try:
            node.policy.plan.check(PlanRequest(plan))
            node.ledger.check("", plan)
            warnings = node.data.check(plan, max_rows=node.policy.settings.max_rows)
        except Refused as refusal:
            if as_json:
                column = refusal.column if isinstance(refusal, DataUnfit) else None
                show_json({"accepts": False, "reason": refusal.in_full(), "column": column})
            raise
    warn(warnings)
    if as_json:
        show_json({"accepts": True, "plan": plan.name, "digest": plan.digest(), "warnings": warnings})
    else:
        click.echo(f"this bank would take part in {plan.name!r} ({plan.digest()})")
