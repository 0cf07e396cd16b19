"""Files that survive a crash: written whole or not at all, flushed before anything depends on them.

`Disk` is the only way in which the node changes files in its home folder. It reports every boundary at which a crash
could fall (`on_step`), so that a test can crash a node at each one of them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def _no_step(step: str) -> None:
    del step


class Disk:
    """Changes files durably.

    Args:
        on_step: called with a name before and after every change; raising there simulates a crash.
    """

    def __init__(self, on_step: Callable[[str], None] = _no_step) -> None:
        self.reached = on_step

    def write(self, path: Path, data: bytes, *, flush: bool = True) -> None:
        """Replaces a file: temporary file, fsync, rename, fsync of the folder; readable by the owner alone.

        Args:
            path: the file; its folder is made if it is missing.
            data: its whole content.
            flush: False leaves out both fsyncs, for what can be fetched or computed again: the file survives a crash
                of the process, not one of the machine.
        """
        self.reached(f"write:{path.name}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if flush:
                    file.flush()
                    os.fsync(file.fileno())
            self.reached(f"rename:{path.name}")
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if flush:
            flush_folder(path.parent)
        self.reached(f"written:{path.name}")

    def overwrite(self, path: Path, data: bytes, *, flush: bool = True) -> None:
        """Writes over the beginning of a file in place; what is longer stays behind. The first time it is made whole.

        For files whose reader tells a torn one from a whole one and needs neither the old content nor the rest: it
        spares a file system's journal the new file, its name and the old one's removal.

        Args:
            path: the file.
            data: its beginning.
            flush: False leaves out the flush, see `write`.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except FileNotFoundError:
            self.write(path, data, flush=flush)
            return
        try:
            self.reached(f"overwrite:{path.name}")
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if flush:
                flush_data(descriptor)
        finally:
            os.close(descriptor)
        self.reached(f"overwritten:{path.name}")

    def remove(self, path: Path) -> None:
        """Removes a file, if it is there."""
        self.reached(f"remove:{path.name}")
        path.unlink(missing_ok=True)
        self.reached(f"removed:{path.name}")

    def destroy(self, path: Path) -> None:
        """Overwrites a file with random bytes and removes it, if it is there.

        Best effort: a copy-on-write file system, a journal or an SSD may keep old blocks. What is destroyed here was
        sealed, so the old blocks are of no use without the keystore's passphrase or key file.
        """
        self.reached(f"destroy:{path.name}")
        if path.exists():
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.write(os.urandom(size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            flush_folder(path.parent)
        self.reached(f"destroyed:{path.name}")


def flush_data(descriptor: int) -> None:
    """Makes a file's content durable, and of what is known about it as much as its reading needs."""
    getattr(os, "fdatasync", os.fsync)(descriptor)  # not every system has the cheaper call


def flush_folder(folder: Path) -> None:
    """Makes renames and removals in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path) -> None:
    """Removes what a crash left half-written; nothing ever reads these files."""
    for leftover in folder.rglob(".*.????????"):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)
