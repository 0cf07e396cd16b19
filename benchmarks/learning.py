"""Federated learning beside one pooled model, each bank alone, and what peers do, on any table with a binary label.

    python -m benchmarks.learning --data FILE --label COL --banks 5 --partition skewed --model gbdt --json -
    python -m benchmarks.learning --data FILE --label COL --customer COL --time COL --amount COL --entity COL --banks 10
    python -m benchmarks.learning --synthetic 200000x30 --protection ckks --trees 100

The schema is inferred; identifiers are left out. All models are scored on the same test rows: the last quarter of the
time where there is a time column, else a stratified quarter. `federated` is trained by secure sums, `pooled` is stock
XGBoost (`hist`, same settings) or scikit-learn on all training rows in one place, `local_*` the same on one bank's
rows, `pooled_in_our_bins` stock XGBoost where our bins cut, `fedavg_or_bagging` FedAvg (logistic) or tree bagging as
Flower does it. Everything runs in this process, one bank after the other. With `--entity` there are three settings: no
entity features, own rows', from summed tables.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.ckks_sum import CkksSum
from benchmarks.common import machine, peak_rss_mb, write_json
from benchmarks.partition import partition
from benchmarks.shared_intelligence import Columns, Source, bank_of, model_inputs, table_settings
from learning.driver import plain_sum, run
from learning.entities import EntityTableSettings
from learning.gbdt import GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.logistic import LogisticRegression
from learning.logistic_settings import LogisticSettings
from learning.query import Query, SecureSum
from learning.schema import Dataset, FeatureSchema, Part, infer_schema, prepare
from protocol.aggregate import value_bytes

_TEST_SHARE = 0.25
_LABELS = {"fraud", "is_fraud", "class", "label", "target", "is_sar", "tx_fraud"}
_SETTINGS_OF_ENTITIES: dict[str, Source] = {"no_entity": "none", "own_rows": "own", "summed_tables": "secure"}
_ENTITY_KEY = hashlib.sha256(b"benchmark").digest()


@dataclass(frozen=True)
class Options:
    """What is measured."""

    model: str
    protection: str
    trees: peers.Trees
    peers: bool = True


def compare(sets: Sequence[Dataset], schema: FeatureSchema, options: Options) -> dict[str, Any]:
    """Every way of training on these banks' rows."""
    X_test, y_test = peers.test_rows(sets)
    found: dict[str, Any] = {}

    def measure(name: str, train: Callable[[], peers.Scorer]) -> dict[str, Any]:
        began = time.perf_counter()
        scorer = train()
        seconds = time.perf_counter() - began
        result = peers.figures(y_test, scorer(X_test)) | {"seconds": round(seconds, 3)}
        print(f"{name}: {result}", file=sys.stderr)
        return result

    federated = Federated(sets, schema, options)
    found["federated"] = measure("federated", federated.train) | federated.traffic
    if options.protection == "ckks":
        clear = Federated(sets, schema, replace(options, protection="none"))
        found["federated"]["clear_seconds"] = measure("federated, in the clear", clear.train)["seconds"]
        found["federated"]["same_model_in_the_clear"] = clear.digest == federated.digest
    if options.model == "gbdt":
        found["pooled"] = measure("pooled", lambda: peers.pooled_trees(sets, schema, options.trees))
        bins = federated.model.bins
        found["pooled_in_our_bins"] = measure(
            "pooled, in our bins", lambda: peers.pooled_trees_in_bins(sets, schema, options.trees, bins)
        )
    else:
        pooled: list[NDArray[np.float64]] = []

        def train() -> peers.Scorer:
            scorer, coefficients = peers.pooled_logistic(sets, federated.model.design)
            pooled.append(coefficients)
            return scorer

        found["pooled"] = measure("pooled", train)
        ours = np.append(federated.model.coefficients, federated.model.intercept)
        # A coefficient that is zero but for rounding has no relative difference.
        size = np.maximum(np.abs(pooled[0]), 1e-6 * np.abs(pooled[0]).max())
        found["largest_coefficient_difference"] = float((np.abs(ours - pooled[0]) / size).max())
    if options.peers:
        found |= _alone(sets, schema, options, measure)
        found["fedavg_or_bagging"] = measure(
            "bagging" if options.model == "gbdt" else "FedAvg",
            lambda: (
                peers.bagged_trees(sets, schema, options.trees)
                if options.model == "gbdt"
                else peers.averaged_logistic(sets, schema)
            ),
        )
    found["peak_rss_mb"] = round(peak_rss_mb(), 1)
    return found


def _alone(
    sets: Sequence[Dataset], schema: FeatureSchema, options: Options,
    measure: Callable[[str, Callable[[], peers.Scorer]], dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """Each bank's own model on all banks' test rows; banks that see one class alone have none."""
    results = []
    for number, data in enumerate(sets):
        labels = data.y[data.part == Part.TRAIN]
        if not (labels.any() and not labels.all()):
            continue

        def train(data: Dataset = data) -> peers.Scorer:
            if options.model == "gbdt":
                return peers.pooled_trees([data], schema, options.trees)
            return run(LogisticRegression(LogisticSettings(inputs=schema)), [data]).margins

        results.append(measure(f"bank {number} alone", train))
    if not results:
        return {"local_mean": None, "local_best": None}
    mean = {name: round(float(np.mean([one[name] for one in results])), 5) for name in results[0]}
    return {"local_mean": mean, "local_best": max(results, key=lambda one: one["ap"])}


class Federated:
    """Our training over secure sums.

    Attributes:
        model: what came of it.
        digest: its digest.
        traffic: rounds, and bytes by bank.
    """

    def __init__(self, sets: Sequence[Dataset], schema: FeatureSchema, options: Options) -> None:
        self._sets, self._schema, self._options = sets, schema, options
        self.model: Any = None
        self.digest = b""
        self.traffic: dict[str, Any] = {}

    def train(self) -> peers.Scorer:
        """Trains; returns the scorer."""
        trees, banks = self._options.trees, len(self._sets)
        algorithm: Any = (
            GradientBoosting(
                GbdtSettings(
                    inputs=self._schema, trees=trees.trees, max_depth=trees.depth, max_bin=trees.bins,
                    learning_rate=trees.learning_rate,
                )
            )
            if self._options.model == "gbdt"
            else LogisticRegression(LogisticSettings(inputs=self._schema))
        )  # fmt: skip
        lengths: list[int] = []
        sizes: list[int] = []

        def note(query: Query, state: Any) -> None:
            del state
            lengths.append(query.length)
            sizes.append(query.length * value_bytes(query))

        ckks = CkksSum(banks) if self._options.protection == "ckks" else None
        self.model = run(algorithm, self._sets, secure_sum=ckks or plain_sum, on_round=note)
        self.digest = self.model.digest()
        up = sum(sizes) * banks if ckks is None else ckks.bytes_up
        self.traffic = {
            "rounds": len(lengths), "values": sum(lengths), "bytes_up_per_bank": up // banks,
            "bytes_down_per_bank": sum(sizes),
        }  # fmt: skip
        return lambda rows: np.asarray(self.model.margins(rows))


def read_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def synthetic(size: str) -> pd.DataFrame:
    """ROWSxCOLUMNS of normal numbers, some missing; the label depends on a few of them, not linearly."""
    rows, columns = map(int, size.split("x"))
    rng = np.random.default_rng(5)
    X = rng.standard_normal((rows, columns), dtype=np.float32)
    margin = X[:, 0] + 0.8 * X[:, 1] * X[:, 2] + 0.6 * np.abs(X[:, 3]) - 4.0
    label = (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.int8)
    X[:, 4:8][rng.random((rows, min(4, columns - 4))) < 0.1] = np.nan
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(columns)], copy=False)
    frame["label"] = label
    return frame


def guess_label(frame: pd.DataFrame) -> str:
    """The only binary column, or one whose name says so.

    Raises:
        SystemExit: there is none, or several.
    """
    binary = [name for name in frame.columns if set(pd.unique(frame[name].dropna())) == {0, 1}]
    named = [name for name in binary if name.lower() in _LABELS]
    chosen = named or binary
    if len(chosen) != 1:
        raise SystemExit(f"--label: expected one of the binary columns, which are: {', '.join(binary) or 'none'}")
    return str(chosen[0])


def banks_of(
    frame: pd.DataFrame, label: str, kind: str, banks: int, *, bank_column: str | None, time_column: str | None,
    drop: Sequence[str], seed: int = 11,
) -> tuple[list[Dataset], FeatureSchema]:  # fmt: skip
    """Every bank's rows, with the same test rows however they are spread; `seed` draws them where there is no time."""
    ids = [
        name for name in frame.columns
        if name not in {label, time_column} and not pd.api.types.is_float_dtype(frame[name]) and frame[name].is_unique
    ]  # fmt: skip
    exclude = tuple({*ids, *drop, *([bank_column] if bank_column else [])} - {label})
    schema = infer_schema(frame, label=label, exclude=exclude, time=time_column)
    part = _parts(frame, label, time_column, seed)
    bank = partition(frame, label, kind, banks, column=bank_column)
    return [
        replace(prepare(frame[bank == number], schema), part=part[bank == number]) for number in range(bank.max() + 1)
    ], schema


def _parts(frame: pd.DataFrame, label: str, time_column: str | None, seed: int) -> NDArray[np.uint8]:
    part = np.full(len(frame), Part.TRAIN, dtype=np.uint8)
    if time_column is not None:
        part[frame[time_column] >= frame[time_column].quantile(1 - _TEST_SHARE)] = Part.TEST
        return part
    rng = np.random.default_rng(seed)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(frame[label].to_numpy() == value))
        part[rows[: round(len(rows) * _TEST_SHARE)]] = Part.TEST
    return part


def with_entities(frame: pd.DataFrame, columns: Columns, banks: int, options: Options) -> dict[str, Any]:
    """The three settings of entity features, on the rows' own time."""
    settings = table_settings(frame, columns)
    train_to, test_from = split_by_days(frame[columns.time], settings.label_delay_days)
    found: dict[str, Any] = {"train_to": str(train_to.date()), "test_from": str(test_from.date())}
    for name, source in _SETTINGS_OF_ENTITIES.items():
        print(name, file=sys.stderr)
        began = time.perf_counter()
        secure_sum: Any = CkksSum(banks) if options.protection == "ckks" else plain_sum
        sets, schema = entity_sets(frame, columns, banks, settings, source, secure_sum=secure_sum)
        seconds = time.perf_counter() - began
        found[name] = {"feature_seconds": round(seconds, 2)} | compare(sets, schema, options)
    return found


def split_by_days(times: pd.Series, label_delay_days: int) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Ends of the training rows and start of the test rows, the last quarter of the days.

    Between the two are the days whose labels are not confirmed when the test begins.
    """
    last = times.max().normalize()
    days = (last - times.min().normalize()).days + 1
    test_from = last - pd.Timedelta(days=round(days * _TEST_SHARE) - 1)
    return test_from - pd.Timedelta(days=label_delay_days), test_from


def entity_sets(
    frame: pd.DataFrame, columns: Columns, banks: int, settings: EntityTableSettings, source: Source, *,
    key: bytes = _ENTITY_KEY, secure_sum: SecureSum = plain_sum,
) -> tuple[list[Dataset], FeatureSchema]:  # fmt: skip
    """Every bank's rows with profiles and with entity features from one source.

    Args:
        frame: all banks' transactions.
        columns: which column is what.
        banks: how many; a customer's hash decides.
        settings: of the entity table.
        source: of the entity features.
        key: the banks' shared identifier key.
        secure_sum: how the tables are summed.
    """
    bank = bank_of(frame[columns.customer], banks)
    tables = [frame[bank == number] for number in range(banks)]
    inputs = model_inputs(tables, columns, settings, source, key=key, secure_sum=secure_sum)
    schema = infer_schema(inputs[0], label=columns.label, time=columns.time)
    train_to, test_from = split_by_days(frame[columns.time], settings.label_delay_days)
    sets = []
    for table in inputs:
        part = np.full(len(table), Part.TRAIN, dtype=np.uint8)
        part[table[columns.time] >= train_to] = Part.VALIDATION
        part[table[columns.time] >= test_from] = Part.TEST
        sets.append(replace(prepare(table, schema), part=part))
    return sets, schema


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="CSV or Parquet table")
    source.add_argument("--synthetic", metavar="ROWSxCOLUMNS", help="simulated numbers instead of a table")
    parser.add_argument("--label", help="binary column; guessed if there is only one")
    parser.add_argument("--bank-column", help="column whose values are the banks, for --partition by-column")
    parser.add_argument("--banks", type=int, default=5)
    parser.add_argument("--partition", choices=("iid", "skewed", "by-column"), default="iid")
    parser.add_argument("--model", choices=("gbdt", "logistic"), default="gbdt")
    parser.add_argument("--protection", choices=("ckks", "none"), default="ckks")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--bins", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1, help="XGBoost's; ours uses one")
    parser.add_argument("--drop", action="append", default=[], metavar="COL", help="column to leave out")
    parser.add_argument("--no-peers", action="store_true", help="leave local models and FedAvg or bagging out")
    for name in ("entity", "customer", "time", "amount"):
        parser.add_argument(f"--{name}", metavar="COL")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the JSON goes; - for standard output")
    given = parser.parse_args()
    frame = synthetic(given.synthetic) if given.synthetic else read_table(given.data)
    label = given.label or guess_label(frame)
    named = [label, given.bank_column, given.entity, given.customer, given.time, given.amount, *given.drop]
    missing = [name for name in named if name is not None and name not in frame.columns]
    if missing:
        parser.error(f"no column {missing[0]!r}; there are: {', '.join(map(str, frame.columns))}")
    if given.time is not None and not pd.api.types.is_numeric_dtype(frame[given.time]):
        frame[given.time] = pd.to_datetime(frame[given.time])
    trees = peers.Trees(given.trees, given.depth, given.bins, given.learning_rate, given.threads)
    options = Options(given.model, given.protection, trees, peers=not given.no_peers)
    result: dict[str, Any] = {"rows": len(frame), "model": given.model, "protection": given.protection}
    if given.entity is not None:
        if None in (given.customer, given.time, given.amount):
            parser.error("--entity: needs --customer, --time and --amount too")
        columns = Columns(given.entity, given.customer, given.time, given.amount, label)
        result |= {"banks": given.banks} | with_entities(frame, columns, given.banks, options)
    else:
        sets, schema = banks_of(
            frame, label, given.partition, given.banks, bank_column=given.bank_column, time_column=given.time,
            drop=given.drop,
        )  # fmt: skip
        del frame
        result |= {"banks": len(sets), "partition": given.partition} | compare(sets, schema, options)
    write_json(result | {"machine": machine()}, given.json)


if __name__ == "__main__":
    main()
