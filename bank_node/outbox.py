"""The contribution that was made but whose round is not over, kept byte for byte: after a restart the same one is sent.
A second one would share the common polynomial and the key with the first, so that their difference shows the
difference of what they hold, with nothing but two small noises over it.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from bank_node.durable import Disk
from protocol.statements import ContributionStatement, SignedStatement

#: The statement's length and SHA-256: torn, it could name this round beside the digest of the one before.
_HEAD = struct.Struct(">I32s")


class Outbox:
    """One file, for one contribution: length and SHA-256 of the signed statement, which is JSON; it; the contribution.

    A bank makes a round's contribution after it has applied the round before, so that the one kept is needed no more
    and is written over. A write that a crash has torn is no contribution: none was recorded or released on its word.

    Args:
        path: the file.
        disk: how files are changed.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        # The round of the contribution that this process has last kept or found whole; None before the first. One that
        # was not flushed to its end is none, though its bytes may lie there.
        self._kept: int | None = None

    def put(self, statement: SignedStatement, contribution: bytes) -> None:
        """Keeps a contribution, durably, instead of the one before."""
        meta = statement.model_dump_json().encode()
        head = _HEAD.pack(len(meta), hashlib.sha256(meta).digest())
        self._disk.overwrite(self._path, head + meta + contribution)
        self._kept = statement.expect(ContributionStatement).round

    def get(self, round_index: int) -> tuple[SignedStatement, bytes] | None:
        """The kept contribution of a round; None if there is none, or if its bytes are not those that were signed."""
        if self._kept not in {None, round_index}:
            return None
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            size, digest = _HEAD.unpack_from(data)
            end = _HEAD.size + size
            meta = data[_HEAD.size : end]
            if hashlib.sha256(meta).digest() != digest:
                return None
            signed = SignedStatement.model_validate_json(meta)
            statement = signed.expect(ContributionStatement)
        except (struct.error, ValueError):
            return None
        contribution = data[end : end + statement.size_bytes]  # an earlier one may have been longer
        if hashlib.sha256(contribution).hexdigest() != statement.digest or statement.round != round_index:
            return None
        self._kept = round_index
        return signed, contribution

    def clear(self) -> None:
        """Forgets it: the training has ended."""
        self._disk.remove(self._path)
        self._kept = None
