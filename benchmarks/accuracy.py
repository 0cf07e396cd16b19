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
from benchmarks.learning import Federated, Options, banks_of, compare, read_table
from benchmarks.shared_intelligence import Columns, model_inputs, table_settings
from learning.schema import Dataset, FeatureSchema

BANKS = (3, 5, 11)
PARTITIONS = ("iid", "skewed")
TREES = peers.Trees(trees=50, depth=6, bins=256, learning_rate=0.15, threads=2)
#: Of a table with a time, so many rows are taken.
_ROWS_IN_TIME = 120_000
_ORDERS = 7
_SPLITS = 9
_ORDERS_A_SPLIT = 3


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
    """The whole table; the Handbook's raw columns become profiles and terminals' risk."""
    frame = read_table(folder / case.file)
    if case.time is None:
        return frame
    columns = Columns("TERMINAL_ID", "CUSTOMER_ID", case.time, "TX_AMOUNT", case.label)
    frame[case.time] = pd.to_datetime(frame[case.time])
    frame = frame.sort_values(case.time, kind="stable").reset_index(drop=True)
    (inputs,) = model_inputs([frame], columns, table_settings(frame, columns), "pooled", key=bytes(32))
    return inputs


def thinned(case: Case, frame: pd.DataFrame, first: int = 0) -> pd.DataFrame:
    """Evenly every so-manieth row of a table with a time; other tables whole."""
    if case.time is None:
        return frame
    return frame.iloc[first :: len(frame) // _ROWS_IN_TIME].reset_index(drop=True)


def measure(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    """One row after the other."""
    for case in CASES:
        if names and not any(name.lower() in case.name.lower() for name in names):
            continue
        whole = load(case, folder)
        over_splits = list(_over_splits(whole, case))
        frame = thinned(case, whole)
        orders = _xgboost_in_orders(*banks_of_case(frame, case, "iid", 1), _ORDERS)
        for kind in PARTITIONS:
            for banks in BANKS:
                sets, schema = banks_of_case(frame, case, kind, banks)
                for model in ("gbdt", "logistic"):
                    row = {"data": case.name, "partition": kind, "banks": banks, "model": model}
                    print(json.dumps(row), file=sys.stderr)
                    found = compare(sets, schema, Options(model, "ckks", TREES))
                    yield row | found | {
                        "orders": orders if model == "gbdt" else [found["pooled"]["ap"]], "splits": over_splits,
                    }  # fmt: skip


def banks_of_case(
    frame: pd.DataFrame, case: Case, kind: str, banks: int, **split: int
) -> tuple[list[Dataset], FeatureSchema]:
    """Every bank's rows of a case."""
    return banks_of(
        frame, case.label, kind, banks, bank_column=None, time_column=case.time, drop=case.drop, **split
    )  # fmt: skip


def _xgboost_in_orders(sets: list[Dataset], schema: FeatureSchema, orders: int) -> list[float]:
    """Stock XGBoost's AP on the same rows in several orders: its sketch of the quantiles depends on them."""
    X, y = peers.train_rows(sets)
    X_test, y_test = peers.test_rows(sets)
    found = []
    for seed in range(orders):
        order = np.random.default_rng(seed).permutation(len(y))
        scorer = peers.pooled_trees_of(X[order], y[order], schema, TREES)
        found.append(peers.figures(y_test, scorer(X_test))["ap"])
    return found


def _over_splits(whole: pd.DataFrame, case: Case) -> Iterator[dict[str, Any]]:
    """Federated and pooled AP on several splits: other test rows, or, in time, other rows altogether.

    A sum over one bank is the sum over any number: banks and partition make no difference, nor does encryption.
    """
    for split in range(_SPLITS):
        sets, schema = banks_of_case(thinned(case, whole, split), case, "iid", 1, seed=split)
        scorer = Federated(sets, schema, Options("gbdt", "none", TREES)).train()
        X_test, y_test = peers.test_rows(sets)
        orders = _xgboost_in_orders(sets, schema, _ORDERS_A_SPLIT)
        row = {"data": case.name, "federated": peers.figures(y_test, scorer(X_test))["ap"], "orders": orders}
        print(json.dumps(row), file=sys.stderr)
        yield row


_PAGE = """# What federated training gives beside local and pooled training

Written by `python -m benchmarks.accuracy --data-dir DIR --out docs/accuracy.md`. Average precision on the same test
rows for every way of training: the last quarter of the time, or a stratified quarter where a table has no time.

Boosted trees: {trees} trees, depth {depth}, {bins} bins, learning rate {rate}. `pooled` is stock XGBoost with the same
settings, or scikit-learn, on all training rows in one place; `local` a bank's own model, mean and best over the banks;
`peers` tree bagging as Flower does it, or FedAvg. `skewed` banks differ in size, fraud rate and features.

The Handbook's rows carry customer profiles and terminals' risk, and every ninth row is used. The ULB table is a subset
whose fraud rate is not natural: a check that real numbers work.

- Boosted trees against stock XGBoost *in the same bins*: |AP federated − AP pooled| is at most {in_bins:.4f}.
- Against stock XGBoost with bins of its own, on this one split: largest {largest:.4f}, mean of the absolute
  differences {mean:.4f}. That is where bin edges fall: `pooled` is the mean over {orders} orders of the same rows, with
  the smallest and the largest AP, since XGBoost's own sketch depends on their order.
- Over {splits} splits of each data set (the table below), mean of the absolute mean differences: {over_splits:.4f}.
- Logistic regression, largest difference of a coefficient from scikit-learn's pooled fit, relative to that coefficient:
  {coefficient:.1e}.
- The model trained under CKKS is the one trained in the clear, digest for digest, in {same} of {runs} runs.

"""
_SPLIT_PAGE = """
## Over several splits

One split says little: a boosted model takes other turns when its bin edges move by a hair. So both are trained on
{splits} splits: other test rows, and on the Handbook's data other rows altogether. `XGBoost again` is XGBoost against
itself, on the same rows in another order: what cannot be told from chance.

| data | federated | pooled | mean difference (standard error) | mean absolute difference | XGBoost again |
|---|---|---|---|---|---|
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
    split_rows, mean_differences = _split_rows(rows)
    page = _PAGE.format(
        trees=TREES.trees, depth=TREES.depth, bins=TREES.bins, rate=TREES.learning_rate,
        largest=max(map(abs, differences)), mean=statistics.fmean(map(abs, differences)), in_bins=max(in_bins),
        orders=_ORDERS, splits=_SPLITS,
        over_splits=statistics.fmean(map(abs, mean_differences)),
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
    return page + _SPLIT_PAGE.format(splits=_SPLITS) + "".join(split_rows)


def _split_rows(rows: list[dict[str, Any]]) -> tuple[list[str], list[float]]:
    """One line of the second table for each data set, and each one's mean difference."""
    lines, means = [], []
    for name, splits in {row["data"]: row["splits"] for row in rows}.items():
        federated = [one["federated"] for one in splits]
        pooled = [statistics.fmean(one["orders"]) for one in splits]
        differences = [ours - theirs for ours, theirs in zip(federated, pooled, strict=True)]
        again = [abs(one["orders"][0] - one["orders"][1]) for one in splits]
        error = statistics.stdev(differences) / len(differences) ** 0.5
        means.append(statistics.fmean(differences))
        lines.append(
            f"| {name} | {statistics.fmean(federated):.4f} | {statistics.fmean(pooled):.4f} "
            f"| {means[-1]:+.4f} ({error:.4f}) | {statistics.fmean(map(abs, differences)):.4f} "
            f"| {statistics.fmean(again):.4f} |\n"
        )
    return lines, means


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
