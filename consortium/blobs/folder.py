"""Blobs in a local folder: temporary file, flush, rename."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from consortium.blobs.port import BlobMissing, BlobStat, BlobsUnavailable


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    """What the disk refuses is the store's failure. Which file it was is for nobody but the operator, in the log."""
    try:
        yield
    except OSError as error:
        raise BlobsUnavailable(f"{error.strerror or type(error).__name__} in its folder") from error


class FolderBlobs:
    """A blob store in a folder; workers on other machines need it mounted.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / ".incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def writer(self) -> FolderWriter:
        """A new blob, written piece by piece."""
        with _unavailable():
            return FolderWriter(self._folder, self._incoming / secrets.token_hex(16))

    def put(self, key: str, data: bytes) -> None:
        """Stores bytes at once."""
        writer = self.writer()
        try:
            writer.write(data)
            writer.commit(key)
        finally:
            writer.abort()

    def get(self, key: str) -> bytes:
        """A blob.

        Raises:
            BlobMissing: there is none.
        """
        return self._read(key, 0, -1)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        """A part of a blob.

        Raises:
            BlobMissing: there is none.
        """
        return self._read(key, offset, size)

    def _read(self, key: str, offset: int, size: int) -> bytes:
        with _unavailable():
            try:
                with (self._folder / key).open("rb") as file:
                    file.seek(offset)
                    return file.read(size)
            except FileNotFoundError as error:
                raise BlobMissing(key) from error

    def delete(self, key: str) -> None:
        """Deletes a blob, if it is there."""
        with _unavailable():
            (self._folder / key).unlink(missing_ok=True)

    def stat(self, key: str) -> BlobStat | None:
        """Size and time of a blob; None if there is none."""
        with _unavailable():
            try:
                found = (self._folder / key).stat()
            except FileNotFoundError:
                return None
        return BlobStat(found.st_size, found.st_mtime)

    def require_room(self, size_bytes: int) -> None:
        """Whether the disk has so much space that this process may use.

        Raises:
            BlobsUnavailable: it has not.
        """
        with _unavailable(), tempfile.TemporaryFile(dir=self._incoming) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            elif shutil.disk_usage(self._incoming).free < size_bytes:  # not every system can reserve space
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def drop_unfinished(self, *, before: float) -> int:
        """Deletes uploads that were begun before this time and never committed: their process was killed."""
        dropped = 0
        with _unavailable():
            for path in self._incoming.iterdir():
                with contextlib.suppress(FileNotFoundError):  # another process was quicker, or it was committed
                    if path.stat().st_mtime < before:
                        path.unlink()
                        dropped += 1
        return dropped


class FolderWriter:
    """A blob on its way into the folder."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder, self._temporary = folder, temporary
        self._file: BinaryIO | None = temporary.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Appends."""
        assert self._file is not None
        rest = memoryview(data)
        with _unavailable():
            while rest:  # a disk that fills up takes a part, and says so with the next
                rest = rest[self._file.write(rest) :]

    def commit(self, key: str) -> None:
        """Puts what was written under a key, durably."""
        assert self._file is not None
        with _unavailable():
            os.fsync(self._file.fileno())
            target = self._folder / key
            if not target.parent.is_dir():
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _flush_folder(target.parent.parent)
            self._temporary.rename(target)
            self._file.close()
            self._file = None
            _flush_folder(target.parent)

    def abort(self) -> None:
        """Forgets what was written, unless it was committed."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
