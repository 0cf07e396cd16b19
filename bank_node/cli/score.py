"""`bank-node models` and `bank-node score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json, warn
from bank_node.home import Home


@click.command()
@home_option
@json_option
@command_errors
def models(home: Home, as_json: bool) -> None:
    """List the models and entity tables on this node: * marks the newest of a name, `in force` the promoted one,
    `withdrawn` those of a name that the operator has withdrawn.

    \b
    Example:
      bank-node models
    """
    from bank_node.durable import Disk  # noqa: PLC0415  # `--help` answers without it
    from bank_node.in_force import InForce, is_withdrawn  # noqa: PLC0415
    from bank_node.registry import Registry  # noqa: PLC0415

    home.require_enrolled()
    registry = Registry(home.models, Disk())
    current, in_force = registry.current(), InForce(home.models, Disk()).digests()
    rows: list[dict[str, Any]] = [
        {"name": e.name, "digest": e.digest, "training": e.training, "rounds": e.rounds,
         "kind": e.kind, "protection": e.plan.protection.level.value,
         "current": current.get(e.name) == e.digest, "in_force": in_force.get(e.name) == e.digest,
         "withdrawn": is_withdrawn(e.name, in_force)}
        for e in registry.entries()
    ]  # fmt: skip
    if as_json:
        show_json(rows)
        return
    for row in rows:
        mark = "*" if row["current"] else " "
        open_text = "  TRAINED WITHOUT ENCRYPTION" if row["protection"] == "none" else ""
        standing = "  in force" if row["in_force"] else "  withdrawn" if row["withdrawn"] else ""
        click.echo(
            f"{mark} {row['name']}  {row['kind']}  {row['digest'][:16]}  {row['rounds']} rounds{standing}{open_text}"
        )


class _Share(click.ParamType[float]):
    """A part of the rows. A bare 1 is refused: some mean one per cent by it, others one row or all of them."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1 or (share == 1 and not text.endswith("%")):
            expected = "a part of the rows such as 1%, or below 1 such as 0.01 for the same; all of them are 100%"
            self.fail(f"expected {expected}; got {text!r}", param, ctx)
        return share


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--model",
    "name",
    help="Name, or digest (its first 6 characters will do). [default: the one in force, or else the newest]",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="CSV to write.")
@click.option("--id-column", help="Column of the file to pass through, the transaction's number say.")
@click.option(
    "--alerts",
    "share",
    type=_Share(),
    help="Mark this part of the rows, those with the highest scores: 1%, or 0.01 for the same; never a number of rows.",
)
@home_option
@json_option
@command_errors
def score(  # noqa: PLR0917  # click passes them by name
    file: Path, name: str | None, out: Path, id_column: str | None, share: float | None, home: Home, as_json: bool
) -> None:
    """Score a file of transactions with a released model.

    Features are derived inside the bank as in training: customer profiles look back on the plan's dataset, whose
    settings in node.toml hold for the file as well. A warning says if that dataset does not reach back far enough.

    \b
    Example:
      bank-node score today.parquet --out scores.csv --id-column transaction --alerts 1%
    """
    from bank_node.in_force import InForce  # noqa: PLC0415
    from bank_node.opening import open_node  # noqa: PLC0415  # `--help` answers without it
    from bank_node.scoring import (  # noqa: PLC0415
        alert_threshold,
        choose_model,
        others_in_force,
        probabilities_of,
        require_none_of,
        require_writable,
        scores_table,
        write_scores,
    )

    require_writable(out)
    with open_node(home) as node:
        require_none_of(out, [file, *node.data.paths()])
        in_force = InForce(home.models, node.disk).digests()
        entry, model, why = choose_model(node.registry, name, in_force)
        others = others_in_force(node.registry, entry, in_force) if name is None else []
        rows = node.data.for_scoring(entry.plan, file.absolute(), id_column=id_column)
    probabilities = probabilities_of(model, rows, file)
    threshold = None if share is None else alert_threshold(probabilities, share)
    table = scores_table(probabilities, rows.identifiers, threshold)
    write_scores(table, out)
    reach = rows.look_back
    summary: dict[str, Any] = {
        "model": entry.name,
        "digest": entry.digest,
        "training": entry.training,
        "why": why,
        "also_in_force": [{"model": other.name, "digest": other.digest} for other in others],
        "rows": len(table),
        "out": str(out),
    }
    if threshold is not None:
        summary["alerts"] = {"rows": int(table["alert"].sum()), "threshold": threshold}
    if reach is not None:
        summary |= {"history": reach.to_dict(), "warnings": reach.warnings()}
        warn(reach.warnings())
    if others:
        named = ", ".join(f"{other.name} ({other.digest[:16]})" for other in others)
        click.echo(
            f"bank-node: scored with {entry.name} ({entry.digest[:16]}), the newest in force; also in force: {named}; "
            "--model NAME says which",
            err=True,
        )
    if as_json:
        show_json(summary)
        return
    click.echo(f"{out}: {len(table)} scores of model {entry.name} ({entry.digest[:16]}): {why}")
    if threshold is not None:
        click.echo(f"alerts: {summary['alerts']['rows']} of {len(table)} rows, with a score of {threshold:.6g} or more")
    if reach is not None:
        click.echo(f"history: {reach.rows} rows of dataset {reach.dataset!r}, {reach.days:.1f} days back")
