"""A table of the reader's own, read and spread over banks."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import click
import numpy as np
import pandas as pd

from examples.demo.case import Case
from learning.errors import DataRejected
from learning.schema import FeatureSchema, Part, Split, infer_schema, prepare

_LABELS = ("fraud", "is_fraud", "isfraud", "class", "label", "target", "tx_fraud", "is_sar", "default", "y")
_MOST_ROWS = 400_000


def read_own_table(
    path: Path, *, banks: int, label: str | None, bank_column: str | None, time: str | None, customer: str | None,
    amount: str | None, entity: str | None, drop: tuple[str, ...],
) -> Case:  # fmt: skip
    """The case of a CSV or Parquet file with a binary label.

    Raises:
        click.UsageError: the file, or a column that was named, cannot be used so.
    """
    frame = _read(path)
    label = label or _guess_label(frame)
    for name in (label, bank_column, time, customer, amount, entity, *drop):
        if name is not None and name not in frame.columns:
            raise click.UsageError(f"{path}: no column {name!r}; there are {', '.join(map(str, frame.columns[:40]))}")
    if not set(pd.unique(frame[label].dropna())) <= {0, 1}:
        raise click.UsageError(f"{path}: column {label!r} must hold 0 and 1 alone; name another with --label")
    if len(frame) > _MOST_ROWS:
        frame = frame.iloc[np.sort(np.random.default_rng(0).choice(len(frame), _MOST_ROWS, replace=False))]
    if time is not None:
        frame[time] = _times(frame[time], path)
        frame = frame.sort_values(time, kind="stable").reset_index(drop=True)
    spread_by = bank_column or customer
    bank = frame[bank_column].astype(str) if bank_column else _hashed(frame, customer, banks)
    unused = tuple(name for name in (bank_column, customer, entity) if name is not None)
    ids = tuple(_identifiers(frame, label))
    try:
        schema = infer_schema(frame, label=label, exclude=(*unused, *ids, *drop), time=time, split=Split())
    except DataRejected as error:
        raise click.UsageError(f"{path}: {error}") from error
    split = {"test_share": 0.25} if time is None else {"test_from": frame[time].quantile(0.75).isoformat()}
    kept = [feature.name for feature in schema.features]
    columns = [label, *kept, *(name for name in (time, customer, amount, entity) if name and name not in kept)]
    tables = {str(name): part[columns].reset_index(drop=True) for name, part in frame.groupby(bank)}
    if len(tables) < 3:
        raise click.UsageError(f"{path}: a consortium needs three banks, {bank_column!r} names {len(tables)}")
    _require_both_classes(path, tables, schema.model_copy(update={"split": Split.model_validate(split)}))
    return Case(
        title=f"{len(frame):,} rows of {path.name} over {len(tables)} banks by {spread_by or 'a hash of the row'}, "
        f"{frame[label].mean():.2%} positive",
        tables={_bank_name(name): table for name, table in tables.items()}, label=label,
        features=[feature.model_dump(mode="json") for feature in schema.features], split=split, time=time,
        customer=customer, amount=amount, entity=entity,
    )  # fmt: skip


def _require_both_classes(path: Path, tables: dict[str, pd.DataFrame], schema: FeatureSchema) -> None:
    """Refuses a table from which some bank could not train alone, or in which there is nothing to find."""
    tested = 0
    for bank, table in tables.items():
        data = prepare(table, schema)
        train = data.y[data.part == Part.TRAIN]
        if not 0 < train.sum() < len(train):
            raise click.UsageError(
                f"{path}: expected training rows of both classes at every bank, got {len(train)} rows at {bank!r} of "
                f"which {train.sum()} have {schema.label} = 1; take a larger table, or fewer --banks"
            )
        tested += int(data.y[data.part == Part.TEST].sum())
    if not tested:
        raise click.UsageError(
            f"{path}: expected a row with {schema.label} = 1 in the quarter that is tested, got none"
        )


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"{path}: cannot be read as CSV or Parquet ({type(error).__name__})") from error


def _guess_label(frame: pd.DataFrame) -> str:
    binary = [name for name in frame.columns if set(pd.unique(frame[name].dropna())) == {0, 1}]
    named = [name for name in binary if str(name).lower() in _LABELS]
    found = named or (binary if len(binary) == 1 else [])
    if not found:
        among = f"binary are: {', '.join(map(str, binary))}" if binary else "there is none that holds 0 and 1 alone"
        raise click.UsageError(f"which column is the label? Name one with --label; {among}")
    return str(found[0])


def _times(column: pd.Series, path: Path) -> pd.Series:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a format that pandas can only guess is no format
            return pd.to_datetime(column, unit="s" if pd.api.types.is_numeric_dtype(column) else None)
    except (ValueError, TypeError, UserWarning) as error:
        raise click.UsageError(f"{path}: column {column.name!r} holds no times") from error


def _identifiers(frame: pd.DataFrame, label: str) -> list[str]:
    """Whole-number or text columns in which every value occurs once: an id learns nothing that holds tomorrow."""
    return [
        str(name)
        for name in frame.columns
        if name != label and not pd.api.types.is_float_dtype(frame[name]) and frame[name].is_unique
    ]


def _hashed(frame: pd.DataFrame, customer: str | None, banks: int) -> pd.Series:
    keys = frame[customer].astype(str) if customer else pd.Series(frame.index.astype(str), index=frame.index)
    digest = keys.map(lambda key: int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % banks)
    return "bank-" + (digest + 1).astype(str)


def _bank_name(name: str) -> str:
    """A name that the service takes."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:60]
