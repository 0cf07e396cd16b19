"""A file's bytes, gzip undone where its ending says so."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast


def opened(path: Path) -> BinaryIO:
    """The file's bytes, to be read from their beginning."""
    # A reader of gzip files is one of bytes in all but its type.
    return cast("BinaryIO", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")
