"""Risk tables: the sum of an entity-table training, and the point-in-time features that a bank derives from it."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.derived_names import risk_names
from learning.entities import EntityTableSettings, bucket_of, cells_of, hash_identifiers
from learning.errors import DataRejected

#: Version of the file format.
FORMAT = 1
#: Entities whose counts are looked up at a time: bounds the memory of `features`.
_ENTITIES_AT_ONCE = 32_768


@dataclass(frozen=True, eq=False)
class RiskTable:
    """Transactions and confirmed frauds by entity column, bucket, hash row and cell.

    Attributes:
        settings: of the training that summed it.
        transactions: int32, shape (n_entity_columns, buckets, hash_rows, width).
        frauds: int32, the same shape.
    """

    settings: EntityTableSettings
    transactions: NDArray[np.int32]
    frauds: NDArray[np.int32]

    def feature_names(self) -> list[str]:
        """Names of the features, in the order of `features`' columns."""
        return risk_names(self.settings.entities, self.settings.windows_days)

    def features(self, frame: pd.DataFrame, key: bytes) -> pd.DataFrame:
        """Risk features of a bank's transactions, as anyone could have known them at the time.

        For a transaction in bucket D, the table counts as of A = min(D, end of the table): transactions of the
        buckets before A, and frauds and their transactions of the buckets before A - delay. With the window's labelled
        counts n and f and the global fraud rate g of all buckets before A - delay:

            transactions   transactions of the entity in the window before A
            frauds         f
            risk           (f + prior_weight * g) / (n + prior_weight)
            risk_ratio     risk / g

        Args:
            frame: transactions with the entity columns and the time column; order and index are kept.
            key: the banks' shared identifier key.

        Returns:
            float32 columns `feature_names()`. Missing where the identifier is missing or the time is before the table;
            risks are missing too while no bucket has a label yet, and ratios while no fraud was ever seen.

        Raises:
            DataRejected: a column is missing or of the wrong type.
        """
        settings = self.settings
        for column in (*settings.entities, settings.time):
            if column not in frame.columns:
                raise DataRejected(column, expected="a column of the table", got="no such column")
        as_of = np.minimum(bucket_of(frame[settings.time], settings), settings.buckets)
        out = np.full((len(self.feature_names()), len(frame)), np.nan, dtype=np.float32)
        for index, column in enumerate(settings.entities):
            digests, codes = hash_identifiers(frame[column], column, key, settings.hash_rows)
            block = out[index * 4 * len(settings.windows_days) : (index + 1) * 4 * len(settings.windows_days)]
            self._column_features(index, digests, codes, as_of, block)
        return pd.DataFrame(out.T, columns=self.feature_names(), index=frame.index)

    def _column_features(
        self,
        column: int,
        digests: NDArray[np.uint64],
        codes: NDArray[np.int64],
        as_of: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        """Fills the rows of `out`, float32 of shape (4 * n_windows, n_rows), for one entity column."""
        cells = cells_of(digests, self.settings.width)
        usable = np.flatnonzero((codes >= 0) & (as_of >= 0))
        order = usable[np.argsort(codes[usable], kind="stable")]
        for first in range(0, len(digests), _ENTITIES_AT_ONCE):
            some = cells[first : first + _ENTITIES_AT_ONCE]
            span = np.searchsorted(codes[order], (first, first + len(some)))
            rows = order[span[0] : span[1]]
            out[:, rows] = self._window_features(column, some, codes[rows] - first, as_of[rows])

    def _window_features(
        self, column: int, cells: NDArray[np.int64], codes: NDArray[np.int64], as_of: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        settings = self.settings
        transactions = _running(self._counts(self.transactions[column], cells))
        frauds = _running(self._counts(self.frauds[column], cells))
        labelled = np.maximum(as_of - settings.delay_buckets, 0)
        rate = self.global_rate(column)[labelled]
        out = np.empty((4 * len(settings.windows_days), len(codes)), dtype=np.float32)
        for index, days in enumerate(settings.windows_days):
            window = days // settings.bucket_days
            seen = transactions[as_of, codes] - transactions[np.maximum(as_of - window, 0), codes]
            start = np.maximum(labelled - window, 0)
            n = transactions[labelled, codes] - transactions[start, codes]
            f = frauds[labelled, codes] - frauds[start, codes]
            with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is the missing value that is meant
                risk = (f + settings.prior_weight * rate) / (np.maximum(n, 0) + settings.prior_weight)
                out[4 * index : 4 * index + 4] = seen, f, risk, np.where(rate > 0, risk / rate, np.nan)
        return out

    def _counts(self, table: NDArray[np.int32], cells: NDArray[np.int64]) -> NDArray[np.int32]:
        """Counts of some entities, int32 of shape (buckets, n_entities), from a (buckets, hash_rows, width) table.

        The least of the hash rows; under noise, which makes the least too small, their median.
        """
        by_row = [table[:, row, cells[:, row]] for row in range(self.settings.hash_rows)]
        if self.settings.noise_sigma > 0:
            return np.asarray(np.rint(np.median(by_row, axis=0)), dtype=np.int32)
        return np.asarray(np.minimum.reduce(by_row), dtype=np.int32)

    def global_rate(self, column: int) -> NDArray[np.float64]:
        """Fraud rate of all buckets before each bucket, float64 of shape (buckets + 1,); NaN where there was none."""
        transactions = np.cumsum(self.transactions[column, :, 0].sum(axis=1, dtype=np.int64))
        frauds = np.cumsum(self.frauds[column, :, 0].sum(axis=1, dtype=np.int64))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.concatenate([[np.nan], np.where(transactions > 0, frauds / transactions, np.nan)])

    def digest(self) -> bytes:
        """SHA-256 of the canonical form (settings as sorted JSON, then both tables as little-endian int32)."""
        hasher = hashlib.sha256(_canonical(self.settings.model_dump(mode="json")))
        for table in (self.transactions, self.frauds):
            hasher.update(table.astype("<i4", copy=False).tobytes())
        return hasher.digest()

    def to_bytes(self) -> bytes:
        """A JSON document; the tables are zlib-compressed and in base64."""
        document = {
            "digest": self.digest().hex(),
            "format": FORMAT,
            "kind": "risk_table",
            "settings": self.settings.model_dump(mode="json"),
            "tables": {"frauds": _pack(self.frauds), "transactions": _pack(self.transactions)},
        }
        return _canonical(document)

    @classmethod
    def from_bytes(cls, data: bytes) -> RiskTable:
        """Reads `to_bytes`' document.

        Raises:
            DataRejected: it is not such a document, or its digest does not match.
        """
        try:
            document = json.loads(data)
            if document["kind"] != "risk_table" or document["format"] != FORMAT:
                raise DataRejected("document", expected=f"a risk table of format {FORMAT}", got="another document")
            settings = EntityTableSettings.model_validate(document["settings"])
            shape = (len(settings.entities), settings.buckets, settings.hash_rows, settings.width)
            table = cls(
                settings=settings,
                transactions=_unpack(document["tables"]["transactions"], shape),
                frauds=_unpack(document["tables"]["frauds"], shape),
            )
            digest = document["digest"]
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise DataRejected("document", expected="a risk table", got=f"{type(error).__name__}") from error
        if table.digest().hex() != digest:
            raise DataRejected("document", expected="the digest that it names", got="other contents")
        return table


def _running(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sums of the first 0, 1, … buckets, int64 of shape (buckets + 1, n_entities)."""
    sums = np.zeros((counts.shape[0] + 1, counts.shape[1]), dtype=np.int64)
    np.cumsum(counts, axis=0, out=sums[1:])
    return sums


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _pack(table: NDArray[np.int32]) -> str:
    return base64.b64encode(zlib.compress(table.astype("<i4", copy=False).tobytes(), 6)).decode()


def _unpack(text: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
    size = 4 * int(np.prod(shape))
    raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    if len(raw) != size:
        raise ValueError("a table of another size")
    return np.frombuffer(raw, dtype="<i4").reshape(shape).astype(np.int32)
