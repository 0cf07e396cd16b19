"""Terminals' risk from all banks' rows without showing any bank's: python -m examples.entity_tables."""

import os

import pandas as pd
from sklearn.metrics import average_precision_score

from examples.banks import LABEL_DELAY_DAYS, TEST_FROM, tables
from learning.driver import run
from learning.entities import EntityTableSettings, prepare_rows
from learning.entity_tables import EntityTables


def main() -> None:
    """Rank payments by their terminal's risk: counted over all banks' sums, and over each bank's own rows."""
    parts = tables()
    rows = pd.concat(parts.values())
    settings = EntityTableSettings(
        entities=("terminal",), time="time", label="confirmed", label_delay_days=LABEL_DELAY_DAYS, width=1024,
        first_day=rows["time"].min().date(), last_day=rows["time"].max().date(),
    )  # fmt: skip
    key = os.urandom(32)  # the banks' own, which the service never sees: cells say nothing about a terminal's name
    banks = {bank: prepare_rows(part, settings, key) for bank, part in parts.items()}
    together = run(EntityTables(settings), list(banks.values()))
    print("Average precision of the terminal's risk, for compromised terminals:")
    for bank, part in parts.items():
        later = part[part["time"] >= TEST_FROM]
        tampered = later[later["fraud_type"].isna() | (later["fraud_type"] == "compromised_terminal")]
        for name, table in (("all banks'", together), ("its own", run(EntityTables(settings), [banks[bank]]))):
            risk = table.features(tampered, key)["terminal_risk_30d"].fillna(0)
            precision = average_precision_score(tampered["fraud"], risk)
            print(f"    at {bank}, over {name} rows: {precision:.3f}")


if __name__ == "__main__":
    main()
