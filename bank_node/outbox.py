"""Contributions that were made but whose round is not over, kept byte for byte: after a restart the same one is sent.
A second one would share the common polynomial and the key with the first, so that their difference shows the
difference of what they hold, with nothing but two small noises over it.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from bank_node.durable import Disk
from protocol.statements import ContributionStatement, SignedStatement

_HEAD = struct.Struct(">I")


class Outbox:
    """One file a round: a length (4 bytes), the signed statement as JSON, the contribution.

    Args:
        folder: where the files lie.
        disk: how files are changed.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    def put(self, statement: SignedStatement, contribution: bytes) -> None:
        """Keeps a contribution, durably."""
        meta = statement.model_dump_json().encode()
        round_index = statement.expect(ContributionStatement).round
        self._disk.write(self._path(round_index), _HEAD.pack(len(meta)) + meta + contribution)

    def get(self, round_index: int) -> tuple[SignedStatement, bytes] | None:
        """The kept contribution of a round; None if there is none, or if its bytes are not those that were signed."""
        try:
            data = self._path(round_index).read_bytes()
        except FileNotFoundError:
            return None
        try:
            end = _HEAD.size + _HEAD.unpack_from(data)[0]
            signed = SignedStatement.model_validate_json(data[_HEAD.size : end])
            statement = signed.expect(ContributionStatement)
        except (struct.error, ValueError):
            return None
        contribution = data[end:]
        if hashlib.sha256(contribution).hexdigest() != statement.digest or statement.round != round_index:
            return None
        return signed, contribution

    def drop(self, round_index: int) -> None:
        """Forgets a round's contribution: the round was applied."""
        path = self._path(round_index)
        if path.exists():
            self._disk.remove(path)

    def clear(self) -> None:
        """Forgets everything: the training has ended."""
        if self._folder.is_dir():
            for path in sorted(self._folder.glob("*.contribution")):
                self._disk.remove(path)

    def _path(self, round_index: int) -> Path:
        return self._folder / f"{round_index:08d}.contribution"
