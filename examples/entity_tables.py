"""Terminals' risk from all banks' rows without showing any bank's: python -m examples.entity_tables."""

import os

import numpy as np
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
        entities=("terminal",), time="time", label="confirmed", label_delay_days=LABEL_DELAY_DAYS, width=4096,
        first_day=rows["time"].min().date(), last_day=rows["time"].max().date(),
    )  # fmt: skip
    key = os.urandom(32)  # the banks' own, which the service never sees: cells say nothing about a terminal's name
    banks = {bank: prepare_rows(part, settings, key) for bank, part in parts.items()}
    together = run(EntityTables(settings), list(banks.values()))
    print("Average precision of the terminal's risk for compromised terminals, all banks' rows and the own counted:")
    found = []
    for bank, part in parts.items():
        later = part[(part["time"] >= TEST_FROM) & part["fraud_type"].isin([None, "compromised_terminal"])]
        tables_of = (together, run(EntityTables(settings), [banks[bank]]))
        risks = [table.features(later, key)["terminal_risk_30d"].fillna(0) for table in tables_of]
        found.append([average_precision_score(later["fraud"], risk) for risk in risks])
        print(f"    {bank}: {found[-1][0]:.3f} and {found[-1][1]:.3f}")
    print("    mean: {:.3f} and {:.3f}".format(*np.mean(found, axis=0)))


if __name__ == "__main__":
    main()
