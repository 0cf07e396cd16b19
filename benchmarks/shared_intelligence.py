"""What banks gain from entity risk that is summed securely: one model, four sources of the same risk features.

    none     no entity features
    own      counted from the bank's own rows
    secure   from the entity tables that all banks sum securely (hashed cells, label delay)
    pooled   counted from all banks' rows put together, exactly: the best that sharing raw rows could give

Customers are assigned to banks by a hash, so each bank sees a part of every terminal's traffic. The model is trained
on the earlier rows, the last days before the test are left out as their labels are not confirmed yet, and the test is
the last part of the time.

    python -m benchmarks.shared_intelligence --data FILE --entity COL --customer COL --time COL --amount COL --label COL
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.driver import plain_sum, run
from learning.entities import EntityTableSettings, prepare_rows
from learning.entity_tables import EntityTables
from learning.profiles import customer_profiles
from learning.query import SecureSum

Source = Literal["none", "own", "secure", "pooled"]
SOURCES: tuple[Source, ...] = ("none", "own", "secure", "pooled")


@dataclass(frozen=True)
class Columns:
    """Which column is what in a table of transactions."""

    entity: str
    customer: str
    time: str
    amount: str
    label: str


def read_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet table."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def bank_of(customers: pd.Series, banks: int) -> NDArray[np.int64]:
    """The bank of every row, by a hash of its customer: int64 of shape (n_rows,)."""
    codes, uniques = pd.factorize(customers)
    digests = [hashlib.sha256(str(value).encode()).digest() for value in uniques]
    by_customer = np.array([int.from_bytes(digest[:8], "big") % banks for digest in digests], dtype=np.int64)
    return by_customer[codes]


def table_settings(frame: pd.DataFrame, columns: Columns, **changes: Any) -> EntityTableSettings:
    """Settings of an entity table that covers the rows' days, wide enough for the entities active in a day."""
    days = frame[columns.time].dt.date
    active = int(frame.groupby(days)[columns.entity].nunique().max())
    width = 1 << max(8, int(np.ceil(np.log2(4 * active))))
    values: dict[str, Any] = {
        "entities": (columns.entity,), "time": columns.time, "label": columns.label,
        "first_day": days.min(), "last_day": days.max(), "hash_rows": 2, "width": width,
        "round_values": max(1 << 20, width),
    }  # fmt: skip
    return EntityTableSettings(**(values | changes))


def exact_features(frame: pd.DataFrame, history: pd.DataFrame, settings: EntityTableSettings) -> pd.DataFrame:
    """The features of `RiskTable.features` counted from plain rows, without hashing: by another way, on purpose.

    Args:
        frame: rows to compute features for.
        history: rows to count.
        settings: of the table; one entity column and buckets of one day.
    """
    (entity,), delay, days = settings.entities, settings.label_delay_days, settings.buckets
    start = pd.Timestamp(settings.first_day)
    codes, uniques = pd.factorize(pd.concat([history[entity], frame[entity]], ignore_index=True))
    rows, mine = codes[: len(history)], codes[len(history) :]
    day = (history[settings.time] - start).dt.days.to_numpy()
    today = np.minimum((frame[settings.time] - start).dt.days.to_numpy(), days)
    fraud = history[settings.label].to_numpy() == 1
    before = [np.zeros((days + 1, len(uniques)), dtype=np.int64) for _ in range(2)]
    for counts, chosen in zip(before, (slice(None), fraud), strict=True):
        np.add.at(counts, (day[chosen] + 1, rows[chosen]), 1)
        np.cumsum(counts, axis=0, out=counts)
    seen, frauds = before
    old = np.maximum(today - delay, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = (frauds.sum(axis=1) / seen.sum(axis=1))[old]
        found = {}
        for window in settings.windows_days:
            n = seen[old, mine] - seen[np.maximum(today - delay - window, 0), mine]
            f = frauds[old, mine] - frauds[np.maximum(today - delay - window, 0), mine]
            risk = (f + settings.prior_weight * rate) / (n + settings.prior_weight)
            found[f"{entity}_transactions_{window}d"] = seen[today, mine] - seen[np.maximum(today - window, 0), mine]
            found[f"{entity}_frauds_{window}d"] = f
            found[f"{entity}_risk_{window}d"] = risk
            found[f"{entity}_risk_ratio_{window}d"] = risk / rate
    return pd.DataFrame(found, index=frame.index).astype(np.float32)


def entity_features(
    banks: Sequence[pd.DataFrame],
    settings: EntityTableSettings,
    source: Source,
    *,
    key: bytes,
    secure_sum: SecureSum = plain_sum,
) -> list[pd.DataFrame]:
    """Every bank's entity features from one source; frames without columns for ``none``.

    Args:
        banks: every bank's transactions.
        settings: of the table.
        source: where the counts come from.
        key: the banks' shared identifier key.
        secure_sum: how the tables are summed.
    """
    if source == "none":
        return [pd.DataFrame(index=bank.index) for bank in banks]
    if source == "own":
        return [exact_features(bank, bank, settings) for bank in banks]
    if source == "pooled":
        everyone = pd.concat(banks)
        return [exact_features(bank, everyone, settings) for bank in banks]
    rows = [prepare_rows(bank, settings, key) for bank in banks]
    table = run(EntityTables(settings), rows, secure_sum=secure_sum)
    return [table.features(bank, key) for bank in banks]


def model_inputs(
    banks: Sequence[pd.DataFrame],
    columns: Columns,
    settings: EntityTableSettings,
    source: Source,
    *,
    key: bytes,
    secure_sum: SecureSum = plain_sum,
) -> list[pd.DataFrame]:
    """Every bank's model table: amount, hour, weekday, customer profiles, entity features, time and label."""
    entities = entity_features(banks, settings, source, key=key, secure_sum=secure_sum)
    tables = []
    for bank, risk in zip(banks, entities, strict=True):
        when = bank[columns.time].dt
        plain = bank[[columns.label, columns.time, columns.amount]].assign(hour=when.hour, weekday=when.day_of_week)
        profiles = customer_profiles(bank, customer=columns.customer, time=columns.time, amount=columns.amount)
        tables.append(pd.concat([plain, profiles, risk], axis=1))
    return tables


def measure(
    banks: Sequence[pd.DataFrame], columns: Columns, sources: Sequence[Source], *, test_share: float, model: Any
) -> dict[str, Any]:
    """AP, AUC and seconds of one model by source of its entity features.

    Args:
        banks: every bank's transactions.
        columns: which column is what.
        sources: to compare.
        test_share: part of the time, at its end, that judges the model.
        model: takes the banks' tables, columns, and the two ends of training and start of testing; returns figures.
    """
    everyone = pd.concat(banks)
    first, last = everyone[columns.time].min().normalize(), everyone[columns.time].max().normalize()
    settings = table_settings(everyone, columns)
    test_from = last - pd.Timedelta(days=round(((last - first).days + 1) * test_share) - 1)
    train_to = test_from - pd.Timedelta(days=settings.label_delay_days)
    found: dict[str, Any] = {
        "rows": len(everyone), "banks": len(banks), "train_to": str(train_to.date()),
        "test_from": str(test_from.date()), "label_delay_days": settings.label_delay_days,
        "table": {"values": settings.blocks * settings.width, "rounds": -(-settings.blocks // settings.blocks_a_round)},
    }  # fmt: skip
    del everyone
    for source in sources:
        began = time.perf_counter()
        tables = model_inputs(banks, columns, settings, source, key=hashlib.sha256(b"benchmark").digest())
        seconds = time.perf_counter() - began
        found[source] = {"feature_seconds": round(seconds, 2)} | model(tables, columns, train_to, test_from)
        print(source, found[source], file=sys.stderr)
    return found


def federated_trees(
    tables: Sequence[pd.DataFrame], columns: Columns, train_to: pd.Timestamp, test_from: pd.Timestamp, **settings: Any
) -> dict[str, Any]:
    """Trains our boosted trees over secure sums; figures on the test rows from the model's federated evaluation."""
    from learning.gbdt import GradientBoosting  # noqa: PLC0415  # the tables alone do not need it
    from learning.gbdt_settings import GbdtSettings  # noqa: PLC0415
    from learning.schema import FeatureSchema, NumericFeature, Split, prepare  # noqa: PLC0415

    names = [name for name in tables[0].columns if name not in {columns.label, columns.time}]
    schema = FeatureSchema(
        features=tuple(NumericFeature(name=name) for name in names), label=columns.label, time=columns.time,
        split=Split(validation_from=train_to, test_from=test_from),
    )  # fmt: skip
    began = time.perf_counter()
    model = run(GradientBoosting(GbdtSettings(inputs=schema, **settings)), [prepare(table, schema) for table in tables])
    figures = {name: round(model.evaluation[f"test_{name}"], 4) for name in ("ap", "auc", "recall_at_1pct_alerts")}
    return figures | {"train_seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Reads the command line, measures, prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    for name in ("entity", "customer", "time", "amount", "label"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--banks", type=int, default=10)
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--test-share", type=float, default=0.25)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    columns = Columns(arguments.entity, arguments.customer, arguments.time, arguments.amount, arguments.label)
    frame = read_table(arguments.data)
    frame[columns.time] = pd.to_datetime(frame[columns.time])
    bank = bank_of(frame[columns.customer], arguments.banks)
    banks = [frame[bank == number] for number in range(arguments.banks)]

    def model(*tables: Any) -> dict[str, Any]:
        return federated_trees(
            *tables, trees=arguments.trees, max_depth=arguments.depth, learning_rate=arguments.learning_rate
        )

    found = measure(banks, columns, arguments.sources, test_share=arguments.test_share, model=model)
    text = json.dumps(found, indent=2)
    if arguments.json == "-":
        print(text)
    else:
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
