"""What a risk table's document says of its volumes, against a count of the rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from learning import table_volumes
from learning.driver import run
from learning.entities import EntityTableSettings, prepare_rows
from learning.entity_tables import EntityTables

SETTINGS = {
    "entities": ("terminal", "merchant"), "time": "time", "label": "fraud", "first_day": "2026-01-03",
    "last_day": "2026-01-20", "width": 64, "label_delay_days": 4,
}  # fmt: skip


def rows(n=3000):
    rng = np.random.default_rng(3)
    days = rng.integers(0, 24, n)
    return pd.DataFrame(
        {
            "terminal": rng.integers(0, 300, n).astype(str),  # more than cells: they share some
            "merchant": pd.Series(rng.integers(0, 9, n).astype(str)).where(rng.random(n) < 0.8),
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(days, unit="D"),
            "fraud": (rng.random(n) < 0.1).astype(int),
        }
    )


@pytest.mark.parametrize("at_once", [7, 1 << 16])  # pieces that end within a block, and all in one
@pytest.mark.parametrize("hash_rows", [1, 3])
def test_transactions_and_confirmed_frauds_are_those_of_the_rows_with_an_identifier(hash_rows, at_once, monkeypatch):
    monkeypatch.setattr(table_volumes, "_AT_ONCE", at_once)
    settings, frame = EntityTableSettings(**SETTINGS, hash_rows=hash_rows), rows()
    table = run(EntityTables(settings), [prepare_rows(frame[i::3], settings, bytes(32)) for i in range(3)])
    within = frame[frame["time"].between("2026-01-03", "2026-01-20")]
    confirmed = within[within["time"] < pd.Timestamp("2026-01-21") - pd.Timedelta(days=4)]
    assert table_volumes.table_volumes(json.loads(table.to_bytes())) == {
        entity: {
            "transactions": within[entity].count(), "frauds": confirmed[confirmed[entity].notna()]["fraud"].sum(),
        }
        for entity in ("terminal", "merchant")
    }  # fmt: skip
