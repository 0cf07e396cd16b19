"""Whether every line of a CSV file has as many fields as its header.

pandas says of none that it has not: what is missing from a line that was cut off becomes missing values, of a longer
line only the wanted columns' fields are taken, and if the first one is longer, every column gets the values beside it.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from bank_node.errors import DataUnfit
from bank_node.sources.raw_file import opened


def require_whole_lines(name: str, path: Path, separator: str) -> None:
    """Reads the file once more, in less time than pandas takes and without keeping any of it.

    pyarrow's parser says whether there may be such a line; Python's, slow and exact, whether there is, and where.

    Raises:
        DataUnfit: a line has more or fewer fields; it is named.
    """
    if may_be_odd(path, separator) and (odd := _first_odd(path, separator)) is not None:
        line, expected, got = odd
        raise DataUnfit(
            f"dataset {name!r}, line {line}", column=None, expected=f"{expected} fields as in the header", got=str(got),
            advice="was the export broken off, or does a value with the separator in it lack its quotation marks?",
        )  # fmt: skip


def may_be_odd(path: Path, separator: str) -> bool:
    """Whether a line does not have as many fields as the first, or cannot be told."""
    try:
        with opened(path) as file:
            blocks = arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(autogenerate_column_names=True),  # the header counts as any line
                arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
                arrow_csv.ConvertOptions(include_columns=["f0"], column_types={"f0": pa.binary()}),
            )
            with blocks:
                for _ in blocks:
                    pass
    except pa.ArrowInvalid:
        return True
    return False


def _first_odd(path: Path, separator: str) -> tuple[int, int, int] | None:
    """The line at whose end the first such row ends, counted from 1, the header's fields and its own; None without."""
    with io.TextIOWrapper(opened(path), encoding="utf-8", errors="replace", newline="") as text:
        rows = csv.reader(text, delimiter=separator)
        try:
            filled = (row for row in rows if len(row) > 1 or "".join(row).strip())  # pandas skips blank lines
            expected = len(next(filled, []))
            return next(((rows.line_num, expected, len(row)) for row in filled if len(row) != expected), None)
        except csv.Error:  # a value of more than 128 KB; what pandas makes of it stands
            return None
