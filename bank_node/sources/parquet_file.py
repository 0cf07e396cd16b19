"""A Parquet file as the bank's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bank_node.errors import DataUnfit
from bank_node.sources.columns import renamed, wanted, with_times
from bank_node.sources.port import TableDescription
from bank_node.sources.raw_file import PARQUET, kind_of


class ParquetSource:
    """Reads a Parquet file.

    Args:
        name: the dataset's name, for messages.
        path: the file.
        rename: column in the file → column as plans call it.
    """

    def __init__(self, name: str, path: Path, rename: Mapping[str, str]) -> None:
        self._name = name
        self._path = path
        self._rename = rename

    def describe(self) -> TableDescription:
        """Columns, types and rows, from the file's footer."""
        try:
            schema, rows = pq.read_schema(self._path), pq.read_metadata(self._path).num_rows
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from None
        mapping = renamed(self._name, schema.names, self._rename)
        return TableDescription({new: str(schema.field(old).type) for new, old in mapping.items()}, rows=rows)

    def read(self, columns: Sequence[str], *, times: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
        """See `DataSource.read`."""
        try:
            mapping = renamed(self._name, pq.read_schema(self._path).names, self._rename)
            files = wanted(self._name, mapping, columns)
            table = pq.read_table(self._path, columns=files)
            for column in texts:  # here, since pandas makes floats of whole numbers with gaps
                table = self._with_text(table, mapping[column])
            table = self._without_decimals(table, dict(zip(files, columns, strict=True)))
            # The rows alone: an index that pandas has stored with them is not the bank's.
            frame = table.to_pandas(ignore_metadata=True)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from None
        frame = frame[files].set_axis(list(columns), axis=1)
        return with_times(self._name, frame, times)

    def _with_text(self, table: pa.Table, column: str) -> pa.Table:
        index = table.schema.get_field_index(column)
        try:
            return table.set_column(index, column, table.column(index).cast(pa.string()))
        except pa.ArrowException:
            raise DataUnfit(
                f"dataset {self._name!r}", column=column, expected="texts, numbers or times to pass through",
                got=f"values of type {table.schema.field(index).type}", advice="name another column",
            ) from None  # fmt: skip

    def _without_decimals(self, table: pa.Table, called: Mapping[str, str]) -> pa.Table:
        """Decimals as pandas has them would be no numbers: whole ones become integers, others the nearest float64."""
        for index, field in enumerate(table.schema):
            if not pa.types.is_decimal(field.type):
                continue
            kind = pa.float64() if field.type.scale > 0 else pa.int64()
            try:
                table = table.set_column(index, field.name, table.column(index).cast(kind))
            except pa.ArrowException:
                raise DataUnfit(
                    f"dataset {self._name!r}", column=called[field.name], expected="whole numbers of at most 64 bits",
                    got="larger ones", advice="export the column as text",
                ) from None  # fmt: skip
        return table

    def _unreadable(self, error: Exception) -> DataUnfit:
        # None of the libraries' own sentences, which may quote a value, but what the file looks like.
        kind = kind_of(self._path) or "text"
        damaged = f"one that is damaged or was not written to its end ({type(error).__name__})"
        return DataUnfit(
            f"dataset {self._name!r}", column=None, expected=PARQUET, got=damaged if kind == PARQUET else kind,
            advice="export it so and whole, or as CSV; where the name does not tell, format in node.toml does",
        )  # fmt: skip
