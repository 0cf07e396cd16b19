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
                index = table.schema.get_field_index(mapping[column])
                table = table.set_column(index, mapping[column], table.column(index).cast(pa.string()))
            # The rows alone: an index that pandas has stored with them is not the bank's.
            frame = table.to_pandas(ignore_metadata=True)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from None
        frame = frame[files].set_axis(list(columns), axis=1)
        return with_times(self._name, frame, times)

    def _unreadable(self, error: Exception) -> DataUnfit:
        return DataUnfit(f"dataset {self._name!r}", column=None, expected="a Parquet file", got=type(error).__name__)
