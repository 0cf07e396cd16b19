"""A file's bytes, gzip undone where its ending says so, and what they look like."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, cast

#: What reading a gzip file raises that is none, was cut off or is damaged.
BROKEN_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)
PARQUET = "a Parquet file"
_BEGINNINGS = {
    b"PAR1": PARQUET,
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
#: Bytes that are looked at: no text has a zero among them, and hardly any other file has none.
_LOOKED_AT = 4096


def is_gzip(path: Path) -> bool:
    """Whether its ending says so."""
    return path.suffix.lower() == ".gz"


def opened(path: Path) -> BinaryIO:
    """The file's bytes, to be read from their beginning."""
    # A reader of gzip files is one of bytes in all but its type.
    return cast("BinaryIO", gzip.open(path)) if is_gzip(path) else path.open("rb")


def kind_of(path: Path) -> str | None:
    """What the file is, in words, if it is no text; None for text, and for a .gz that cannot be unpacked."""
    try:
        with opened(path) as file:
            beginning = file.read(_LOOKED_AT)
    except BROKEN_GZIP:
        return None
    except OSError as error:
        return unreadable(error)
    if beginning and b"\0" not in beginning:
        return None
    known = (kind for first, kind in _BEGINNINGS.items() if beginning.startswith(first))
    return next(known, "bytes that are no text" if beginning else "an empty file")


def unreadable(error: OSError) -> str:
    """What the system says of a file that it does not let the node read."""
    return f"one that can not be read: {error.strerror or type(error).__name__}"


def first_not_utf8(path: Path) -> int:
    """The first line that is not UTF-8, counted from 1; 0 if every one is."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 0
