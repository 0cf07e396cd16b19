"""The port through which the node reads the bank's rows. A source of another kind (SQL, say) implements the same two
methods and passes the same contract test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bank_node.errors import SEE_SETTINGS, DataUnfit

if TYPE_CHECKING:  # half a second of start-up, needed only where rows are read
    import pandas as pd

    from bank_node.settings import DatasetSettings


@dataclass(frozen=True, slots=True)
class TableDescription:
    """What a source says about itself without reading all rows.

    Attributes:
        columns: column → type as the source names it (after renaming).
        rows: number of rows, or None where counting would mean reading everything.
    """

    columns: Mapping[str, str]
    rows: int | None


class DataSource(Protocol):
    """A table of the bank."""

    def describe(self) -> TableDescription:
        """Columns and types.

        Raises:
            DataUnfit: the table can not be read.
        """

    def read(self, columns: Sequence[str], *, times: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
        """The named columns of all rows, in the table's own order.

        Args:
            columns: what is wanted; every one must be there.
            times: those of them that are times, parsed to ``datetime64[ns]``; those with a zone are turned to UTC.
            texts: those of them that are taken as they are written: "007" is not 7.

        Raises:
            DataUnfit: a column is missing or can not be read as a time.
        """


def open_source(name: str, settings: DatasetSettings, home: Path) -> DataSource:
    """The source that a dataset's settings name.

    Args:
        name: the dataset's name, for messages.
        settings: its settings.
        home: relative paths count from here.

    Raises:
        DataUnfit: there is no such file, or its format can not be told from its ending.
    """
    path = path_of(name, settings, home)
    kind = settings.format if settings.format != "auto" else _format_of(name, path)
    # Imported here: both pull in pandas.
    if kind == "csv":
        from bank_node.sources.csv_file import CSVSource  # noqa: PLC0415  # see above

        return CSVSource(name, path, settings.rename)
    from bank_node.sources.parquet_file import ParquetSource  # noqa: PLC0415  # see above

    return ParquetSource(name, path, settings.rename)


def path_of(name: str, settings: DatasetSettings, home: Path) -> Path:
    """Where a dataset's file is; arguments as for `open_source`.

    Raises:
        DataUnfit: there is no such file.
    """
    path = home / settings.path  # what is absolute stays as it is
    if not path.is_file():
        raise DataUnfit(
            f"dataset {name!r}", column=None, expected="its file", got="none", advice=SEE_SETTINGS,
            only_here=f"no file at {path}",
        )  # fmt: skip
    return path


def _format_of(name: str, path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in {".parquet", ".pq"}:
        return "parquet"
    if any(suffix in {".csv", ".tsv"} for suffix in suffixes[-2:]):
        return "csv"
    raise DataUnfit(
        f"dataset {name!r}", column=None, expected="a file whose ending tells its format", got="another",
        advice="set format to csv or parquet in node.toml", only_here=f"the file is {path}",
    )  # fmt: skip
