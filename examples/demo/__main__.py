"""The main job on one machine: a service with its embedded worker, five banks' nodes as processes, three trainings."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from consortium.cli.help import with_kept_lines
from examples.demo.case import Case, simulated
from examples.demo.deployment import DemoFailed, Deployment
from examples.demo.own_table import read_own_table

console = Console()
if not console.is_terminal:
    console = Console(width=120)  # a log file has no width of its own


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
              help="Folder for pictures and report.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="A CSV or Parquet table of your own instead of simulated transactions.")  # fmt: skip
@click.option("--banks", type=click.IntRange(3, 9), default=5, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the simulation.")
@click.option("--label", help="Of --data: column that is 1 for fraud. [default: guessed]")
@click.option("--bank-column", help="Of --data: column with the bank. [default: a hash spreads the rows]")
@click.option("--time", "time_column", help="Of --data: column with the time; the last quarter is tested.")
@click.option("--customer", help="Of --data: column with the customer, for profiles.")
@click.option("--amount", help="Of --data: column with the amount, for profiles.")
@click.option("--entity", help="Of --data: column with terminal, merchant or device, for summed risk tables.")
@click.option("--drop", multiple=True, help="Of --data: column to leave out; may be repeated.")
@click.option("--keep", is_flag=True, help="Keep the processes' folder with databases and logs.")
def main(  # noqa: PLR0917  # click passes them by name
    out: Path, data: Path | None, banks: int, seed: int, label: str | None, bank_column: str | None,
    time_column: str | None, customer: str | None, amount: str | None, entity: str | None, drop: tuple[str, ...],
    keep: bool,
) -> None:  # fmt: skip
    r"""Train logistic regression and boosted trees together, encrypted, and compare with each bank alone.

    \b
    Examples:
      python -m examples.demo --out out
      python -m examples.demo --data creditcard.csv --label Class --time Time
    """
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    if data is None:
        case = simulated(banks, seed)
    else:
        case = read_own_table(
            data, banks=banks, label=label, bank_column=bank_column, time=time_column, customer=customer,
            amount=amount, entity=entity, drop=drop,
        )  # fmt: skip
    console.print(f"[bold]{case.title}[/]")
    folder = Path(tempfile.mkdtemp(prefix="consortium-demo-"))
    try:
        report = run(case, folder, out)
    except DemoFailed as error:
        raise click.ClickException(f"{error}\nlogs: {folder} (kept)") from error
    except KeyboardInterrupt:
        console.print("stopped; all processes have ended")
        raise SystemExit(130) from None
    if keep:
        console.print(f"processes' folder: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(f"{time.monotonic() - began:.0f} s in all. Report: [bold]{report.resolve()}[/]")


def run(case: Case, folder: Path, out: Path) -> Path:
    """The whole demo; returns the report's path."""
    from examples.demo import results as figures  # noqa: PLC0415  # the processes start while these are loaded

    with Deployment(folder) as deployment, ThreadPoolExecutor(1) as beside:
        baselines = beside.submit(figures.measure_baselines, case)
        started = time.monotonic()
        with console.status("starting the service and the banks' nodes"):
            deployment.serve()
            for bank, table in case.tables.items():
                deployment.add_bank(bank, table)
        console.print(f"service and {len(case.tables)} nodes are up after {time.monotonic() - started:.0f} s")
        with Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("rounds"),
            TimeElapsedColumn(), TextColumn("{task.fields[now]}"), console=console,
        ) as progress:  # fmt: skip
            trainings, seconds = train_all(deployment, case, progress)
        with console.status("scoring at every bank, measuring the baselines"):
            results = baselines.result()
            results.trainings, results.seconds = trainings, seconds
            score_all(deployment, case, results)
    return show(results, out)


def train_all(
    deployment: Deployment, case: Case, progress: Progress
) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Entity tables, if there are entities; then both models."""
    trainings: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}

    def train(name: str, title: str, learning: dict[str, Any], recipe: dict[str, Any]) -> str:
        task = progress.add_task(title, total=None, now="")
        began = time.monotonic()
        plan = {"name": name, "learning": learning, "features": recipe}
        view = deployment.train(plan, _shower(progress, task))
        seconds[name] = time.monotonic() - began
        trainings[name] = view | {"card": deployment.consortium("model", "card", name)}
        progress.update(task, now=f"model {view['model'][:12]}…")
        return str(view["id"])

    tables: list[str] = []
    if case.entity is not None:
        learning = case.entity_learning()
        tables = [train("tables", f"{case.entity} risk tables", learning, {})]
    schema = case.schema(_table_features(case))
    train("logistic", "logistic regression", case.logistic(schema), case.recipe(tables))
    train("gbdt", "boosted trees", case.gbdt(schema), case.recipe(tables))
    return trainings, seconds


def _table_features(case: Case) -> list[str]:
    if case.entity is None:
        return []
    from learning.entities import EntityTableSettings  # noqa: PLC0415  # pulls in pandas

    settings = EntityTableSettings.model_validate(case.entity_learning())
    names = ("transactions", "frauds", "risk", "risk_ratio")
    return [f"{case.entity}_{name}_{window}d" for window in settings.windows_days for name in names]


def _shower(progress: Progress, task: TaskID) -> Callable[[dict[str, Any]], None]:
    def show(view: dict[str, Any]) -> None:
        current = view["current"]
        now = view["state"]
        if current is not None and now == "running":
            now = f"{current['query']}: {current['answered']} of {current['expected']} banks"
        if view["metrics"].get("validation_ap"):
            now += f", validation AP {view['metrics']['validation_ap']:.3f}"
        total = view["rounds_done"] if view["state"] == "completed" else view["rounds_expected"]
        progress.update(task, completed=view["rounds_done"], total=total, now=now)

    return show


def score_all(deployment: Deployment, case: Case, results: Any) -> None:
    """Every bank's node scores its own rows with both models; all must hold the same."""
    from examples.demo.baselines import prepare_all  # noqa: PLC0415  # loaded by now
    from examples.demo.results import test_scores  # noqa: PLC0415

    parts = {bank: data.part for bank, data in prepare_all(case, "none").data.items()}
    for model, found in (("gbdt", results.trees), ("logistic", results.logistic)):
        found["federated"] = test_scores(case, parts, {bank: deployment.score(bank, model) for bank in case.tables})
        held = deployment.held_digests(model)
        if set(held.values()) != {results.trainings[model]["model"]}:
            raise DemoFailed(f"the banks hold different models: {held}")
        results.notes.append(f"Every bank derived the same {model} model: {results.trainings[model]['model']}.")


def show(results: Any, out: Path) -> Path:
    """Prints the tables, draws the pictures, writes the report."""
    from examples.demo import report  # noqa: PLC0415  # Matplotlib

    for title, found in (("boosted trees", results.trees), ("logistic regression", results.logistic)):
        table = Table(title=f"{title}: average precision / recall at 1 % alerts", title_justify="left")
        for column in ("bank", "rows", "test frauds", "alone", "federated", "pooled"):
            table.add_column(column, justify="left" if column == "bank" else "right", no_wrap=True)
        for row in results.by_bank(found):
            figures = [f"{row[way][0]:.3f} / {row[way][1]:.3f}" for way in ("alone", "federated", "pooled")]
            table.add_row(row["bank"], f"{row['rows']:,}", str(row["frauds"]), *figures)
        console.print(table)
    if results.brought:
        table = Table(title="average precision, mean of banks: what tables and model brought", title_justify="left")
        for column in ("terminal risk", "each bank's own model", "one model of the pooled rows"):
            table.add_column(column)
        for risk, name in (("none", "none"), ("own", "from own rows"), ("summed", "from summed tables")):
            table.add_row(name, f"{results.brought[risk, 'alone']:.3f}", f"{results.brought[risk, 'together']:.3f}")
        console.print(table)
    pictures = report.draw(results, out)
    for path in pictures.values():
        console.print(f"picture: {path}")
    return report.write_html(results, pictures, out)


with_kept_lines(main)

if __name__ == "__main__":
    main()
