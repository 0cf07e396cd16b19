"""Entities: what an entity table counts, and how a bank's identifiers become cells without being shown.

A compromised terminal is hit through many banks; each sees a few of its frauds. `learning.entity_tables` sums the
banks' counts of transactions and confirmed frauds by entity and time bucket; `learning.risk_table` turns the sum into
risk features. Here is what both need: the settings, the keyed hash of an identifier, the time bucket of a row.

An identifier decides its cells by HMAC-SHA256 under a key that the banks share and the server never has, so the
server sees counts of unknown entities at most.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from learning.columns import count_of, others_than_numbers, places
from learning.errors import DataRejected

Column = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Days = Annotated[int, Field(ge=1, le=366)]


class EntityTableSettings(BaseModel):
    """What an entity-table training counts.

    Attributes:
        entities: columns with identifiers, one table each.
        time: column with the transaction's time (UTC).
        label: column with the confirmed fraud flag: 1, 0, or missing while unknown.
        first_day: the first day that is counted.
        last_day: the last day that is counted; the table's features stay as of its end for later transactions.
        bucket_days: width of a time bucket, and the grid of days as of which features are computed.
        windows_days: windows of the features, multiples of `bucket_days`.
        label_delay_days: a label is used once its transaction is older than this many days.
        hash_rows: independent hash rows.
        width: cells of a hash row in one bucket; best a small multiple of the entities active in a bucket.
        min_count: cells with fewer transactions are withheld.
        noise_sigma: standard deviation of the noise in every summed count; 0 for none.
        noise_banks: the number of honest banks whose noise alone must reach `noise_sigma`: at most `cohort.min_banks`
            less the colluders, or less one where there are none; 1 without encryption. `plan check` warns of more.
        prior_weight: transactions' worth of global rate that smooth an entity's risk.
        round_values: most values that one round sums.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["entity_tables"] = "entity_tables"
    entities: tuple[Column, ...] = Field(min_length=1)
    time: Column
    label: Column
    first_day: dt.date
    last_day: dt.date
    bucket_days: Days = 1
    windows_days: tuple[Days, ...] = Field(default=(1, 7, 30), min_length=1)
    label_delay_days: int = Field(default=7, ge=0, le=366)
    hash_rows: int = Field(default=3, ge=1, le=4)
    width: int = Field(default=8192, ge=16, le=2**22)
    min_count: int = Field(default=1, ge=1, le=10_000)
    noise_sigma: float = Field(default=0.0, ge=0.0, le=2.0**13)
    noise_banks: int = Field(default=2, ge=1)
    prior_weight: float = Field(default=5.0, gt=0.0, le=1e6)
    round_values: int = Field(default=2**20, ge=2**10, le=2**24)

    @model_validator(mode="after")
    def _consistent(self) -> EntityTableSettings:
        if self.last_day < self.first_day:
            raise ValueError("last_day: must not be before first_day")
        if len(set(self.entities)) != len(self.entities):
            raise ValueError("entities: columns must be distinct")
        if len(set(self.windows_days)) != len(self.windows_days):
            raise ValueError("windows_days: windows must be distinct")
        if any(window % self.bucket_days for window in self.windows_days):
            raise ValueError("windows_days: windows must be multiples of bucket_days")
        if self.width > self.round_values:
            raise ValueError("width: must not exceed round_values")
        return self

    @property
    def buckets(self) -> int:
        """Number of time buckets, the last one possibly shorter in effect."""
        return -(-((self.last_day - self.first_day).days + 1) // self.bucket_days)

    @property
    def delay_buckets(self) -> int:
        """The label delay in whole buckets, rounded up."""
        return -(-self.label_delay_days // self.bucket_days)

    @property
    def blocks(self) -> int:
        """Number of blocks of `width` cells."""
        return len(self.entities) * self.buckets * self.hash_rows

    @property
    def blocks_a_round(self) -> int:
        """Number of blocks that one round sums, the last round's excepted."""
        return max(1, self.round_values // self.width)


@dataclass(frozen=True, eq=False)
class EntityRows:
    """One bank's rows as entity tables need them.

    Attributes:
        digests: by entity column, uint64 of shape (n_unique, hash_rows): the keyed hashes of the identifiers seen.
        codes: by entity column, int64 of shape (n_rows,): index into `digests`, -1 where the identifier is missing.
        buckets: int64, shape (n_rows,): time bucket, counted from the first day; outside the table where the row is not
            counted.
        frauds: bool, shape (n_rows,): confirmed fraud.
        randbytes: source of cryptographic randomness for the noise, or None if no noise is asked for.
    """

    digests: dict[str, NDArray[np.uint64]]
    codes: dict[str, NDArray[np.int64]]
    buckets: NDArray[np.int64]
    frauds: NDArray[np.bool_]
    randbytes: Callable[[int], bytes] | None = None


def prepare_rows(
    frame: pd.DataFrame,
    settings: EntityTableSettings,
    key: bytes,
    *,
    randbytes: Callable[[int], bytes] | None = None,
) -> EntityRows:
    """Reads a bank's transactions for an entity-table training.

    Args:
        frame: transactions with the columns that `settings` names.
        settings: of the training.
        key: the banks' shared identifier key, at least 16 bytes; never given to the server.
        randbytes: for example ``os.urandom``; needed if the settings ask for noise.

    Raises:
        DataRejected: a column is missing or of the wrong type, a time is missing, a label is not 0 or 1.
    """
    for column in (*settings.entities, settings.time, settings.label):
        if column not in frame.columns:
            raise DataRejected(column, expected="a column of the table", got="no such column")
    hashed = {column: hash_identifiers(frame[column], column, key, settings.hash_rows) for column in settings.entities}
    return EntityRows(
        digests={column: digests for column, (digests, _) in hashed.items()},
        codes={column: codes for column, (_, codes) in hashed.items()},
        buckets=_counted_bucket_of(frame[settings.time], settings),
        frauds=_confirmed(frame[settings.label], settings.label),
        randbytes=randbytes,
    )


def hash_identifiers(
    values: pd.Series[Any], column: str, key: bytes, hash_rows: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The keyed hashes of a column's identifiers.

    The text that is hashed is the column's name, a zero byte and the identifier: a number that is whole as its decimal
    digits (a column of integers with gaps is read as floats by many tools), anything else as text, in UTF-8.

    Returns:
        digests, uint64 of shape (n_unique, hash_rows), and codes, int64 of shape (n_rows,), -1 for a missing one.

    Raises:
        DataRejected: the key is too short, a number is not whole, or an identifier is neither text nor number.
    """
    if len(key) < 16:
        raise DataRejected(column, expected="an identifier key of at least 16 bytes", got=f"{len(key)} bytes")
    codes, uniques = places(values, column)
    digests = np.empty((len(uniques), hash_rows), dtype=np.uint64)
    prefix = column.encode() + b"\0"
    for index, value in enumerate(uniques):
        digest = hmac.digest(key, prefix + _identifier_text(value, column).encode(), "sha256")
        digests[index] = np.frombuffer(digest, dtype="<u8", count=hash_rows)
    return digests, codes


def _identifier_text(value: object, column: str) -> str:
    if isinstance(value, float | np.floating):
        if not float(value).is_integer():
            raise DataRejected(column, expected="identifiers: text or whole numbers", got="a fraction")
        return str(int(value))
    return str(value)


def bucket_of(times: pd.Series[Any], settings: EntityTableSettings) -> NDArray[np.int64]:
    """The time bucket of every row, int64 of shape (n_rows,), 0 for the first day's.

    Raises:
        DataRejected: the column does not hold times, or a time is missing.
    """
    return np.floor_divide(_days_of(times, settings), settings.bucket_days)


def _counted_bucket_of(times: pd.Series[Any], settings: EntityTableSettings) -> NDArray[np.int64]:
    """The same, but outside the table for days after the last one, which a wide last bucket would reach over."""
    days = _days_of(times, settings)
    last = (settings.last_day - settings.first_day).days
    return np.where(days <= last, np.floor_divide(days, settings.bucket_days), settings.buckets)


def _days_of(times: pd.Series[Any], settings: EntityTableSettings) -> NDArray[np.int64]:
    """The day of every row, int64 of shape (n_rows,), counted from the first day."""
    column = settings.time
    if not pd.api.types.is_datetime64_any_dtype(times):
        raise DataRejected(column, expected="times (datetime64)", got=str(times.dtype))
    if times.isna().any():
        raise DataRejected(column, expected="a time in every row", got=count_of(times.isna(), "rows without one"))
    if getattr(times.dt, "tz", None) is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    days = times.to_numpy().astype("datetime64[D]") - np.datetime64(settings.first_day, "D")
    return days.astype(np.int64)


def _confirmed(labels: pd.Series[Any], column: str) -> NDArray[np.bool_]:
    try:
        flags = np.asarray(labels.astype("float64").fillna(0.0), dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataRejected(column, expected="0, 1 or missing", got=others_than_numbers(labels)) from error
    wrong = ~np.isin(flags, (0.0, 1.0))
    if wrong.any():
        raise DataRejected(column, expected="0, 1 or missing", got=count_of(wrong, "rows with another value"))
    confirmed: NDArray[np.bool_] = flags == 1.0
    return confirmed


def cells_of(digests: NDArray[np.uint64], width: int) -> NDArray[np.int64]:
    """The cell of every identifier in every hash row, int64 of the digests' shape, below `width`."""
    return (digests % np.uint64(width)).astype(np.int64)
