"""Does federated training lose anything? All data sets, partitions and numbers of banks, under CKKS and in the clear.

    python -m benchmarks.accuracy --data-dir DIR --out docs/accuracy.md

DIR holds the public data sets in the folders that `CASES` names. Every row of the table is one `benchmarks.learning`
run: the model trained by encrypted secure sums beside the pooled one, the banks' own, and what peers do. The digest of
the model trained in the clear is compared in every run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import peers
from benchmarks.learning import Options, banks_of, compare, read_table
from benchmarks.shared_intelligence import Columns, model_inputs, table_settings

BANKS = (3, 5, 11)
PARTITIONS = ("iid", "skewed")
TREES = peers.Trees(trees=50, depth=6, bins=256, learning_rate=0.15, threads=2)
_HANDBOOK_ROWS = 120_000
_ORDERS = 7


@dataclass(frozen=True)
class Case:
    """A public data set: its file under the data folder, its label, and columns that are no features."""

    name: str
    file: str
    label: str
    drop: tuple[str, ...] = ()
    time: str | None = None


CASES = (
    Case("Fraud Detection Handbook", "fraud_detection_handbook/transactions_dev_2018-04_to_07.parquet", "TX_FRAUD",
         time="TX_DATETIME"),
    Case("AMLGentex, 11 banks", "amlgentex_11banks/accounts.parquet", "is_sar", ("account", "bank")),
    Case("ULB credit cards (subset)", "ulb_creditcard_subset/creditcard_subset.parquet", "Class", ("Time",)),
    Case("UCI credit-card default", "uci_default_credit_card/uci_default.parquet", "default_payment_next_month",
         ("ID",)),
)  # fmt: skip


def load(case: Case, folder: Path) -> pd.DataFrame:
    """The table; the Handbook's raw columns become profiles and terminals' risk, and are thinned out evenly."""
    frame = read_table(folder / case.file)
    if case.time is None:
        return frame
    columns = Columns("TERMINAL_ID", "CUSTOMER_ID", case.time, "TX_AMOUNT", case.label)
    frame[case.time] = pd.to_datetime(frame[case.time])
    frame = frame.sort_values(case.time, kind="stable").reset_index(drop=True)
    (inputs,) = model_inputs([frame], columns, table_settings(frame, columns), "pooled", key=bytes(32))
    return inputs.iloc[:: max(1, len(inputs) // _HANDBOOK_ROWS)].reset_index(drop=True)


def measure(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """One row after the other."""
    for case in CASES:
        if names and not any(name.lower() in case.name.lower() for name in names):
            continue
        frame = load(case, folder)
        orders = _other_orders(frame, case)
        for kind in PARTITIONS:
            for banks in BANKS:
                sets, schema = banks_of(
                    frame, case.label, kind, banks, bank_column=None, time_column=case.time, drop=case.drop
                )
                for model in ("gbdt", "logistic"):
                    row = {"data": case.name, "partition": kind, "banks": banks, "model": model}
                    print(json.dumps(row), file=sys.stderr)
                    found = compare(sets, schema, Options(model, "ckks", TREES))
                    yield row | found | {"orders": orders if model == "gbdt" else [found["pooled"]["ap"]]}


def _other_orders(frame: pd.DataFrame, case: Case) -> list[float]:
    """Stock XGBoost's AP on the same rows in several orders: its sketch of the quantiles depends on them."""
    (data,), schema = banks_of(frame, case.label, "iid", 1, bank_column=None, time_column=case.time, drop=case.drop)
    X, y = peers.train_rows([data])
    X_test, y_test = peers.test_rows([data])
    found = []
    for seed in range(_ORDERS):
        order = np.random.default_rng(seed).permutation(len(y))
        scorer = peers.pooled_trees_of(X[order], y[order], schema, TREES)
        found.append(peers.figures(y_test, scorer(X_test))["ap"])
    return found


_PAGE = """# What federated training gives beside local and pooled training

Written by `python -m benchmarks.accuracy --data-dir DIR --out docs/accuracy.md`. Average precision on the same test
rows for every way of training: the last quarter of the time, or a stratified quarter where a table has no time.

Boosted trees: {trees} trees, depth {depth}, {bins} bins, learning rate {rate}. `pooled` is stock XGBoost with the same
settings, or scikit-learn, on all training rows in one place; `local` a bank's own model, mean and best over the banks;
`peers` tree bagging as Flower does it, or FedAvg. `skewed` banks differ in size, fraud rate and features.

The Handbook's rows carry customer profiles and terminals' risk, and every ninth row is used. The ULB table is a subset
whose fraud rate is not natural: a check that real numbers work.

- Boosted trees against stock XGBoost *in the same bins*: |AP federated − AP pooled| is at most {in_bins:.4f}.
- Against stock XGBoost with bins of its own: largest {largest:.4f}, mean of the absolute differences {mean:.4f}, of the
  signed ones {signed:+.4f}. That is where bin edges fall, and XGBoost's own AP moves as much when the same rows come in
  another order: `pooled` is the mean over {orders} orders, with the smallest and the largest AP.
- Logistic regression, largest difference of a coefficient from scikit-learn's pooled fit, relative to the largest
  coefficient: {coefficient:.1e}.
- The model trained under CKKS is the one trained in the clear, digest for digest, in {same} of {runs} runs.

"""
_COLUMNS = (
    "data", "model", "partition", "banks", "federated (CKKS)", "pooled, same bins", "pooled", "local mean",
    "local best", "peers", "rounds", "MB up a bank",
)  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The page."""
    trees = [row for row in rows if row["model"] == "gbdt"]
    differences = [row["federated"]["ap"] - statistics.fmean(row["orders"]) for row in trees]
    in_bins = [abs(row["federated"]["ap"] - row["pooled_in_our_bins"]["ap"]) for row in trees]
    page = _PAGE.format(
        trees=TREES.trees, depth=TREES.depth, bins=TREES.bins, rate=TREES.learning_rate,
        largest=max(map(abs, differences)), mean=statistics.fmean(map(abs, differences)),
        signed=statistics.fmean(differences), in_bins=max(in_bins), orders=_ORDERS,
        coefficient=max(row["largest_coefficient_difference"] for row in rows if row["model"] == "logistic"),
        same=sum(row["federated"]["same_model_in_the_clear"] for row in rows), runs=len(rows),
    )  # fmt: skip
    page += "| " + " | ".join(_COLUMNS) + " |\n" + "|---" * len(_COLUMNS) + "|\n"
    for row in rows:
        cells = [row["data"], row["model"], row["partition"], str(row["banks"]), f"**{row['federated']['ap']:.4f}**"]
        cells += [f"{row['pooled_in_our_bins']['ap']:.4f}" if row["model"] == "gbdt" else "", _spread(row["orders"])]
        cells += [f"{row[key]['ap']:.4f}" for key in ("local_mean", "local_best", "fedavg_or_bagging")]
        cells += [str(row["federated"]["rounds"]), f"{row['federated']['bytes_up_per_bank'] / 1e6:.1f}"]
        page += "| " + " | ".join(cells) + " |\n"
    return page


def _spread(values: list[float]) -> str:
    mean = f"{statistics.fmean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.4f}–{max(values):.4f})"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="data sets whose name has this")
    parser.add_argument("--out", type=Path, default=Path("docs/accuracy.md"))
    given = parser.parse_args()
    rows = list(measure(given.data_dir, given.only))
    given.out.write_text(table(rows), encoding="utf-8")
    print(f"{given.out}: {len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
