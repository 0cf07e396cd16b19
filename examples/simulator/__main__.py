"""Write simulated transactions of several banks to files."""

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from examples.simulator.settings import SimulationSettings
from examples.simulator.simulation import simulate
from examples.simulator.writing import Format, write


def _settings(options: dict[str, Any]) -> SimulationSettings:
    """The settings, or a message that names each option that is wrong."""
    try:
        return SimulationSettings.model_validate(options)
    except ValidationError as error:
        wrong = [
            f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg'][0].lower()}{e['msg'][1:]}, got {e['input']}; "
            "choose another value"
            for e in error.errors()
        ]
        raise click.UsageError("\n".join(wrong)) from error


@click.command(
    help="Write each bank's simulated transactions to a file of its own, and metadata.json beside them.\n\n"
    "Example:\n\n    python -m examples.simulator --banks 5 --customers 5000 --days 120 --seed 7 --out simulated"
)
@click.option("--banks", default=5, show_default=True, help="Number of banks.")
@click.option("--customers", default=5000, show_default=True, help="Customers of all banks together.")
@click.option("--terminals", default=1000, show_default=True, help="Shops, online merchants and private accounts.")
@click.option("--days", default=120, show_default=True, help="Length in days.")
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same files.")
@click.option("--start", default="2025-01-06", show_default=True, help="First day, as YYYY-MM-DD.")
@click.option("--daily-transactions", default=1.0, show_default=True, help="Mean of a customer's in a day.")
@click.option("--fraud-rate", default=0.008, show_default=True, help="Frauds, as a share of the genuine transactions.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to.")
@click.option("--format", "file_format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
def main(out: Path, file_format: Format, **options: Any) -> None:
    """Simulate and write."""
    simulation = simulate(_settings(options))
    try:
        paths = write(simulation, out, file_format=file_format)
    except OSError as error:
        raise click.ClickException(f"--out: {error.strerror}, got {out}; choose a folder to write to") from error
    rows = simulation.transactions
    click.echo(f"{len(rows)} transactions, {100 * rows['fraud'].mean():.2f} % fraud")
    for path in paths:
        click.echo(path)


if __name__ == "__main__":
    main(prog_name="python -m examples.simulator")
