"""A CSV file (comma or, for `.tsv`, tab; gzip by its ending) as the bank's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bank_node.errors import DataUnfit
from bank_node.sources.columns import renamed, wanted, with_times
from bank_node.sources.csv_lines import require_whole_lines
from bank_node.sources.port import TableDescription

_SAMPLE_ROWS = 1000


class CSVSource:
    """Reads a CSV file with a header line.

    Args:
        name: the dataset's name, for messages.
        path: the file.
        rename: column in the file → column as plans call it.
    """

    def __init__(self, name: str, path: Path, rename: Mapping[str, str]) -> None:
        self._name = name
        self._path = path
        self._rename = rename
        self._separator = "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes] else ","
        self._lines_are_whole = False

    def describe(self) -> TableDescription:
        """Columns, with types guessed from the first thousand rows; rows are not counted."""
        sample = self._load(nrows=_SAMPLE_ROWS)
        mapping = renamed(self._name, self._header(), self._rename)
        return TableDescription({new: str(sample[old].dtype) for new, old in mapping.items()}, rows=None)

    def read(self, columns: Sequence[str], *, times: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
        """See `DataSource.read`."""
        mapping = renamed(self._name, self._header(), self._rename)
        files = wanted(self._name, mapping, columns)
        frame = self._load(usecols=files, dtype={mapping[column]: str for column in texts})
        if not self._lines_are_whole:
            require_whole_lines(self._name, self._path, self._separator)
            self._lines_are_whole = True
        frame = frame[files].set_axis(list(columns), axis=1)
        return with_times(self._name, frame, times)

    def _header(self) -> list[str]:
        """The columns' names. Of two that are called alike pandas would call the second otherwise, and say nothing."""
        names = list(self._load(nrows=0).columns)
        written = self._load(nrows=1, header=None, dtype=str).iloc[0].tolist()
        return [name if pd.isna(raw) else raw for name, raw in zip(names, written, strict=True)]

    def _load(self, **options: Any) -> pd.DataFrame:
        try:
            frame: pd.DataFrame = pd.read_csv(self._path, sep=self._separator, low_memory=False, **options)
        except (OSError, ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
            # The parser's own message may quote a row, so it is not passed on.
            raise DataUnfit(
                f"dataset {self._name!r}", column=None, expected="a CSV file with a header", got=type(error).__name__
            ) from None
        return frame
