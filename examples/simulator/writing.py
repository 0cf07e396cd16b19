"""A simulation as files: one table for each bank, and what they hold."""

import json
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from examples.simulator.simulation import Simulation

Format = Literal["parquet", "csv"]

#: What each column says; `fraud_type` and `reported_after_days` are known only afterwards.
COLUMNS: Final = {
    "transaction_id": "int64, number in order of time over all banks",
    "time": "local time to the second",
    "bank": "the customer's bank",
    "customer": "who pays; a customer has one bank",
    "terminal": "shop terminal, online merchant or private account that is paid; shared by all banks' customers",
    "amount": "euro",
    "channel": "chip, contactless, online or phone",
    "merchant_category": "category of the terminal; missing now and then",
    "country": "country of the terminal",
    "abroad": "whether the country is not the customer's",
    "device": "device of an online payment; missing now and then, and in other channels",
    "fraud": "1 for fraud, the label",
    "fraud_type": "typology of a fraud; never a feature",
    "reported_after_days": "days until a fraud is reported, the label's delay; missing without fraud; never a feature",
}


def metadata(simulation: Simulation) -> dict[str, Any]:
    """Settings, columns, and each bank's counts and fraud rates, as JSON values."""
    banks = {}
    for bank in simulation.banks:
        rows = simulation.for_bank(bank)
        by_type = rows["fraud_type"].value_counts().sort_index()
        banks[bank] = {
            "transactions": len(rows),
            "customers": int(rows["customer"].nunique()),
            "fraud_rate": float(rows["fraud"].mean()) if len(rows) else None,
            "fraud_rate_by_type": {str(name): int(n) / len(rows) for name, n in by_type.items()},
        }
    return {"settings": simulation.settings.model_dump(mode="json"), "columns": COLUMNS, "banks": banks}


def write(simulation: Simulation, folder: Path, *, file_format: Format = "parquet") -> list[Path]:
    """Write each bank's transactions and `metadata.json`; files of the same names are replaced.

    Args:
        simulation: What to write.
        folder: Where to; made if it does not exist.
        file_format: Format of the tables.

    Returns:
        The files written.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_write_table(simulation.for_bank(bank), folder / f"{bank}.{file_format}") for bank in simulation.banks]
    summary = folder / "metadata.json"
    summary.write_text(json.dumps(metadata(simulation), indent=2) + "\n", encoding="utf-8")
    return [*paths, summary]


def _write_table(rows: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, index=False)
    return path
