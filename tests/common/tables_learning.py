"""A small federated algorithm for tests of the service: entity tables over random rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from learning.driver import run
from learning.entities import EntityTableSettings, prepare_rows
from learning.entity_tables import EntityTables

SETTINGS = EntityTableSettings(
    entities=("terminal",), time="time", label="fraud", first_day="2026-01-01", last_day="2026-01-12", width=256,
    round_values=1024, hash_rows=1,
)  # fmt: skip


def build(learning: Any) -> EntityTables:
    """The algorithm of a plan's `learning`."""
    return EntityTables(EntityTableSettings.model_validate(dict(learning)))


def rows_of(seed: int, settings: EntityTableSettings = SETTINGS) -> Any:
    """One bank's random rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "terminal": rng.integers(0, 40, 300).astype(str),
            "time": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 12 * 24, 300), unit="h"),
            "fraud": rng.integers(0, 2, 300),
        }
    )
    return prepare_rows(frame, settings, b"k" * 32)


def expected_model(banks: Iterable[int]) -> str:
    """The digest of what the in-process driver derives from these banks' rows."""
    return run(EntityTables(SETTINGS), [rows_of(bank) for bank in banks]).digest().hex()
