"""The rounds that this bank has applied, in order, with their aggregates: replayed after a restart.

One append-only file a training. A record is a length (4 bytes), the `AppliedRound` as JSON, the aggregate's bytes and a
CRC-32 over both. Appends are not flushed to the disk: what a power failure takes can be fetched again, and is checked
against the digest in the next contribution's history. A torn tail is cut off; a record that is whole but does not fit
the chain is found by the reader, who compares digests.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bank_node.durable import Disk
from protocol.messages import AppliedRound

_HEAD = struct.Struct(">I")
_CRC = struct.Struct(">I")


class ReadBytes(Protocol):
    """`read(n)` of a binary file."""

    def __call__(self, size: int, /) -> bytes:
        """At most `size` bytes."""


class AppliedLog:
    """Appends and replays applied rounds.

    Args:
        path: the file.
        disk: how files are changed.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def append(self, applied: AppliedRound, aggregate: bytes) -> None:
        """Adds a round; `aggregate` is its published bytes."""
        meta = applied.model_dump_json(exclude={"aggregate"}).encode()
        body = _HEAD.pack(len(meta)) + meta + aggregate
        self._disk.reached("applied:append")
        with self._path.open("ab") as file:
            file.write(body + _CRC.pack(zlib.crc32(body)))
        self._disk.reached("applied:appended")

    def replay(self) -> Iterator[tuple[AppliedRound, bytes]]:
        """Every round in order. A torn tail is cut off the file."""
        if not self._path.exists():
            return
        whole = 0
        with self._path.open("rb") as file:
            while (record := self._read(file.read)) is not None:
                whole = file.tell()
                yield record
        if whole < self._path.stat().st_size:
            with self._path.open("r+b") as file:
                file.truncate(whole)

    def truncate(self) -> None:
        """Forgets everything (a new key ceremony begins before any round)."""
        self._disk.remove(self._path)

    @staticmethod
    def _read(read: ReadBytes) -> tuple[AppliedRound, bytes] | None:
        head = read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        meta = read(_HEAD.unpack(head)[0])
        try:
            applied = AppliedRound.model_validate_json(meta)
        except ValueError:
            return None
        aggregate = read(applied.size_bytes)
        crc = read(_CRC.size)
        if len(crc) < _CRC.size or _CRC.unpack(crc)[0] != zlib.crc32(head + meta + aggregate):
            return None
        return applied, aggregate
