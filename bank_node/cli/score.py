"""`bank-node models` and `bank-node score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bank_node.cli.common import command_errors, home_option, json_option, show_json
from bank_node.errors import Refused
from bank_node.home import Home


@click.command()
@home_option
@json_option
@command_errors
def models(home: Home, as_json: bool) -> None:
    """List the models and entity tables on this node.

    \b
    Example:
      bank-node models
    """
    from bank_node.durable import Disk  # noqa: PLC0415  # `--help` answers without it
    from bank_node.registry import Registry  # noqa: PLC0415

    home.require_enrolled()
    registry = Registry(home.models, Disk())
    current = registry.current()
    rows: list[dict[str, Any]] = [
        {"name": e.name, "digest": e.digest, "training": e.training, "rounds": e.rounds,
         "kind": e.plan.learning.get("kind"), "protection": e.plan.protection.level.value,
         "current": current.get(e.name) == e.digest}
        for e in registry.entries()
    ]  # fmt: skip
    if as_json:
        show_json(rows)
        return
    for row in rows:
        mark = "*" if row["current"] else " "
        open_text = "  TRAINED WITHOUT ENCRYPTION" if row["protection"] == "none" else ""
        click.echo(f"{mark} {row['name']}  {row['kind']}  {row['digest'][:16]}  {row['rounds']} rounds{open_text}")


def _load(kind: Any, content: bytes) -> Any:
    if kind == "gbdt":
        from learning.gbdt_model import GbdtModel  # noqa: PLC0415  # pulls in pandas

        return GbdtModel.from_bytes(content)
    if kind == "logistic":
        from learning.logistic_model import LogisticModel  # noqa: PLC0415  # pulls in pandas

        return LogisticModel.from_bytes(content)
    raise Refused("score", expected="a model that scores", got=f"kind {kind!r}", advice="name one with --model")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--model", "name", help="Name or digest. [default: the newest]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="CSV to write.")
@home_option
@json_option
@command_errors
def score(file: Path, name: str | None, out: Path, home: Home, as_json: bool) -> None:
    """Score a file of transactions with a released model; features are derived inside the bank as in training.

    \b
    Example:
      bank-node score today.parquet --out scores.csv
    """
    from bank_node.opening import open_node  # noqa: PLC0415  # `--help` answers without it

    with open_node(home) as node:
        entry = node.registry.find(name)
        if entry is None:
            raise Refused("score", expected="a released model", got="none", advice="see `bank-node models`")
        model = _load(entry.plan.learning.get("kind"), node.registry.model_bytes(entry))
        frame = node.data.for_scoring(entry.plan, file.absolute())
        probabilities = model.predict_proba(frame)
    frame[[]].assign(fraud_probability=probabilities).to_csv(out, index_label="row")
    summary = {"model": entry.name, "digest": entry.digest, "rows": len(frame), "out": str(out)}
    if as_json:
        show_json(summary)
    else:
        click.echo(f"{out}: {len(frame)} scores of model {entry.name} ({entry.digest[:16]})")
