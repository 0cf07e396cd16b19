"""The public data sets as five banks hold them, beside the same rows as `benchmarks.learning` lays them out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy import CASES
from benchmarks.learning import banks_of, entity_sets, read_table, split_by_days
from benchmarks.partition import partition
from benchmarks.shared_intelligence import Columns, bank_of, table_settings
from learning.derived_names import profile_names
from learning.entities import EntityTableSettings
from learning.schema import Dataset, FeatureSchema, Part, Split, TimeFeature

BANKS = 5
VARIABLE = "BENCHMARK_DATA"
HANDBOOK = Columns("TERMINAL_ID", "CUSTOMER_ID", "TX_DATETIME", "TX_AMOUNT", "TX_FRAUD")
#: Enough of the Handbook's terminals and days to have frauds, and few enough to be quick.
_TERMINALS_MODULUS, _DAYS = 20, 60
_WINDOWS_DAYS = (1, 7, 30)
_TRAIN_DAY, _TEST_DAY = pd.Timestamp("2026-01-01"), pd.Timestamp("2026-02-01")


@dataclass(frozen=True)
class PublicTable:
    """A data set at five banks, and in the benchmark.

    Attributes:
        tables: each bank's own rows.
        inputs: the schema as a plan declares it, with the benchmark's split.
        features: the plan's recipe.
        sets: each bank's rows as the benchmark has them.
        schema: the benchmark's schema.
    """

    tables: list[pd.DataFrame]
    inputs: FeatureSchema
    features: dict[str, Any]
    sets: list[Dataset] = field(repr=False)
    schema: FeatureSchema = field(repr=False)


def data_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder with the public data sets; without one the test is skipped, in continuous integration it fails."""
    named = environment.get(VARIABLE)
    if named:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"{VARIABLE} names a folder that is not there: {named}")
        return folder
    reason = f"needs the public data sets: set {VARIABLE} to their folder (CONTRIBUTING.md says what is in it)"
    if environment.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def accounts_like(dataset: str, name: str, kind: str) -> PublicTable:
    """A table without times, spread over the banks as the benchmark does.

    The benchmark's lot falls over the whole table, a plan's over each bank's rows: written into a column of days, it
    is a split by time that a plan can name.

    Args:
        dataset: its name in plans.
        name: how the case in `benchmarks.accuracy` begins.
        kind: of partition.
    """
    case = next(case for case in CASES if case.name.startswith(name))
    frame = read_table(data_folder() / case.file)
    sets, schema = banks_of(frame, case.label, kind, BANKS, bank_column=None, time_column=None, drop=case.drop)
    bank = partition(frame, case.label, kind, BANKS)
    tables = [
        frame[bank == number].assign(day=np.where(data.part == Part.TEST, _TEST_DAY, _TRAIN_DAY))
        for number, data in enumerate(sets)
    ]
    inputs = schema.model_copy(update={"time": "day", "split": Split(test_from=_TEST_DAY)})
    return PublicTable(tables, inputs, {"dataset": dataset}, sets, schema)


@cache
def handbook() -> pd.DataFrame:
    """Raw transactions of some of the Handbook's terminals; the hour is a column, as the benchmark has it whole."""
    case = next(case for case in CASES if case.time == HANDBOOK.time)
    frame = read_table(data_folder() / case.file)
    until = frame[HANDBOOK.time].min().normalize() + pd.Timedelta(days=_DAYS)
    chosen = (frame[HANDBOOK.entity] % _TERMINALS_MODULUS == 0) & (frame[HANDBOOK.time] < until)
    columns = [HANDBOOK.time, HANDBOOK.customer, HANDBOOK.entity, HANDBOOK.amount, HANDBOOK.label]
    return frame.loc[chosen, columns].assign(hour=frame[HANDBOOK.time].dt.hour).reset_index(drop=True)


def transactions() -> list[pd.DataFrame]:
    """Each bank's raw transactions."""
    frame = handbook()
    bank = bank_of(frame[HANDBOOK.customer], BANKS)
    return [frame[bank == number] for number in range(BANKS)]


def terminal_tables() -> EntityTableSettings:
    """The benchmark's settings of the terminals' tables, but without collisions, which would differ with the key.

    The banks draw their key anew in every training: with collisions the features, and so the AP, would be a matter of
    luck.
    """
    return table_settings(handbook(), HANDBOOK, hash_rows=3, width=8192)


def from_transactions(training: str, key: bytes) -> PublicTable:
    """The Handbook's transactions: the banks hold raw columns; their nodes derive profiles and terminals' risk.

    Args:
        training: that has summed the terminals' tables.
        key: the banks' shared identifier key in it.
    """
    frame, settings = handbook(), terminal_tables()
    sets, schema = entity_sets(frame, HANDBOOK, BANKS, settings, "secure", key=key)
    train_to, test_from = split_by_days(frame[HANDBOOK.time], settings.label_delay_days)
    weekday = TimeFeature(name="weekday", column=HANDBOOK.time, part="weekday")
    inputs = schema.model_copy(
        update={
            "features": tuple(weekday if feature.name == "weekday" else feature for feature in schema.features),
            "split": Split(validation_from=train_to, test_from=test_from),
        }
    )
    assert set(profile_names(_WINDOWS_DAYS)) < set(inputs.names)
    features = {
        "dataset": "transactions", "customer": HANDBOOK.customer, "time": HANDBOOK.time, "amount": HANDBOOK.amount,
        "profile_windows_days": _WINDOWS_DAYS, "entity_tables": (training,),
    }  # fmt: skip
    return PublicTable(transactions(), inputs, features, sets, schema)
