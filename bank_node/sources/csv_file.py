"""A CSV file (comma or, for `.tsv`, tab; gzip by its ending) as the bank's table."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bank_node.errors import DataUnfit
from bank_node.sources.columns import renamed, wanted, with_times
from bank_node.sources.csv_lines import require_whole_lines
from bank_node.sources.port import TableDescription
from bank_node.sources.raw_file import BROKEN_GZIP, first_not_utf8, is_gzip, kind_of, unreadable

_SAMPLE_ROWS = 1000
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (pd.errors.EmptyDataError, "blank lines alone"),
    (gzip.BadGzipFile, "one that is called .gz and is no gzip file, or a damaged one"),
    (EOFError, "a gzip file that was not written to its end"),
    (zlib.error, "a damaged gzip file"),
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


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
        self._packed: Literal["gzip"] | None = "gzip" if is_gzip(path) else None
        self._lines_are_whole = False

    def describe(self) -> TableDescription:
        """Columns, with types guessed from the first thousand rows; rows are not counted."""
        mapping = renamed(self._name, self._header(), self._rename)
        sample = self._load(nrows=_SAMPLE_ROWS)
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
        if len(names) == 1 and (other := next((one for one in _SEPARATORS if one in names[0]), None)):
            raise self._unfit(f"one that seems to be separated by {_SEPARATORS[other]}")
        return [name if pd.isna(raw) else raw for name, raw in zip(names, written, strict=True)]

    def _load(self, **options: Any) -> pd.DataFrame:
        try:
            if (kind := kind_of(self._path)) is not None:
                raise self._unfit(kind)  # pandas might find columns in it, by chance
            frame: pd.DataFrame = pd.read_csv(
                self._path, sep=self._separator, compression=self._packed, low_memory=False, **options
            )
        except (OSError, ValueError, *BROKEN_GZIP) as error:  # pandas' parser errors are ValueErrors
            # The parser's own message may quote a row, so it is not passed on.
            raise self._unfit(self._what_is_wrong(error)) from None
        return frame

    def _what_is_wrong(self, error: Exception) -> str:
        for kind, sentence in _SENTENCES:
            if isinstance(error, kind):
                return sentence
        if isinstance(error, pd.errors.ParserError):
            return self._what_does_not_parse(str(error))
        if isinstance(error, UnicodeDecodeError):
            return f"text that is not in UTF-8 (the first in line {first_not_utf8(self._path)})"
        if isinstance(error, OSError):
            return unreadable(error)
        return f"one that pandas can not read ({type(error).__name__})"

    def _what_does_not_parse(self, message: str) -> str:
        unclosed = re.search(r"EOF inside string starting at row (\d+)", message)
        if unclosed is not None:
            where = f"row {unclosed[1]}" if unclosed[1] != "0" else "the header"
            return f"a quotation mark in {where} that is never closed"
        require_whole_lines(self._name, self._path, self._separator)
        return "lines that can not be taken apart"

    def _unfit(self, got: str) -> DataUnfit:
        expected = f"a CSV file in UTF-8 with a header, separated by {_SEPARATORS[self._separator]}"
        return DataUnfit(
            f"dataset {self._name!r}", column=None, expected=expected, got=got,
            advice="export it so and whole, or as Parquet; where the name does not tell, format in node.toml does",
        )  # fmt: skip
