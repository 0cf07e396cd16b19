"""What a bank has answered, for ever: at most one contribution and one contributor set for each round of a training.

Two contributions under one a, or shares for two contributor sets, would open a difference. So the record is on disk
before anything leaves the bank: an append-only file of frames, each with its checksum, flushed one by one. A frame that
was torn by a crash at the end was never acted on, and is cut off; damage anywhere else is refused.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from crypto.errors import RecordCorrupted, RecordInUse, SecondContribution, SecondContributorSet, ValueOutOfBounds
from crypto.wire import ID_BYTES, contributors_digest

DIGEST_BYTES = 32
_MAGIC = b"CKSR\x00\x01\x00\x00"
#: kind, round, length of the payload; 8 bytes of SHA-256 over these, so that a damaged length is no torn frame; the
#: payload; 8 bytes of SHA-256 over all of it. Both are chained to the frame before.
_FRAME = struct.Struct(">BII")
_CHECK_BYTES = 8
_MAX_PAYLOAD = 1 << 16


class _Kind(IntEnum):
    CONTRIBUTION = 1
    CONTRIBUTORS = 2


class Answers(Protocol):
    """What the protocol asks of a record, whatever keeps it."""

    def record_contribution(self, round_index: int, digest: bytes) -> None:
        """Notes the one contribution to a round; durable when it returns."""

    def contribution(self, round_index: int) -> bytes | None:
        """The digest noted for a round."""

    def record_contributors(self, round_index: int, contributors: Sequence[bytes]) -> None:
        """Notes the one contributor set that is answered for a round; durable when it returns."""

    def contributors(self, round_index: int) -> tuple[bytes, ...] | None:
        """The set noted for a round, ascending."""


class AnswerRecord:
    """The record of one training in a file; one process at a time has it open.

    Args:
        path: the file; made if it is not there.

    Raises:
        RecordCorrupted: it is damaged before its end, or is another file.
        RecordInUse: another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._contributions: dict[int, bytes] = {}
        self._contributors: dict[int, tuple[bytes, ...]] = {}
        self._chain = hashlib.sha256(_MAGIC).digest()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            self._load()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets another process open the record; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def has_answers(self) -> bool:
        """Whether anything was ever recorded."""
        return bool(self._contributions or self._contributors)

    def contribution(self, round_index: int) -> bytes | None:
        """The digest of the contribution made to a round, 32 bytes."""
        return self._contributions.get(round_index)

    def contributors(self, round_index: int) -> tuple[bytes, ...] | None:
        """The contributor set answered for a round: 16-byte ids, ascending."""
        return self._contributors.get(round_index)

    def record_contribution(self, round_index: int, digest: bytes) -> None:
        """Notes a contribution before it leaves; noting the same again is free.

        Args:
            round_index: the round.
            digest: SHA-256 of the contribution's bytes.

        Raises:
            SecondContribution: another one was noted for the round.
            ValueOutOfBounds: not 32 bytes.
        """
        if len(digest) != DIGEST_BYTES:
            raise ValueOutOfBounds("digest", expected=f"{DIGEST_BYTES} bytes", got=str(len(digest)))
        known = self._contributions.get(round_index)
        if known is None:
            self._append(_Kind.CONTRIBUTION, round_index, digest)
            self._contributions[round_index] = digest
        elif known != digest:
            raise SecondContribution(
                f"round {round_index}", expected=f"the contribution {known.hex()}", got=digest.hex()
            )

    def record_contributors(self, round_index: int, contributors: Sequence[bytes]) -> None:
        """Notes the contributor set before a share for it leaves; noting the same again is free.

        Args:
            round_index: the round.
            contributors: 16-byte ids, in any order.

        Raises:
            SecondContributorSet: another set was noted for the round.
            ValueOutOfBounds: no ids, one twice, or of another length.
        """
        digest = contributors_digest(contributors)
        wanted = tuple(sorted(contributors))
        known = self._contributors.get(round_index)
        if known is None:
            if not wanted:
                raise ValueOutOfBounds("contributors", expected="at least one bank", got="none")
            self._append(_Kind.CONTRIBUTORS, round_index, b"".join(wanted))
            self._contributors[round_index] = wanted
        elif known != wanted:
            raise SecondContributorSet(
                f"round {round_index}",
                expected=f"the set {contributors_digest(known).hex()} of {len(known)} banks",
                got=f"{digest.hex()} of {len(wanted)}",
                advice="two sets of one round would open their difference; this bank answers the first one only",
            )

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RecordInUse(
                self._path.name, expected="a record that no other process has open", got="one in use"
            ) from error

    def _append(self, kind: _Kind, round_index: int, payload: bytes) -> None:
        if not 0 <= round_index < 1 << 32:
            raise ValueOutOfBounds("round", expected="a number below 2^32", got=str(round_index))
        if len(payload) > _MAX_PAYLOAD:
            raise ValueOutOfBounds("contributors", expected=f"at most {_MAX_PAYLOAD // ID_BYTES}", got="more")
        head = _FRAME.pack(kind, round_index, len(payload))
        chain = hashlib.sha256(self._chain + head + payload).digest()
        data = head + _check(self._chain + head) + payload + chain[:_CHECK_BYTES]
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            _write_whole(self._descriptor, data)
            _flush_data(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise
        self._chain = chain

    def _load(self) -> None:
        data = b"".join(iter(lambda: os.read(self._descriptor, 1 << 20), b""))
        if len(data) < len(_MAGIC) and _MAGIC.startswith(data):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, _MAGIC)
            os.fsync(self._descriptor)
            self._sync_folder()
            return
        if not data.startswith(_MAGIC):
            raise RecordCorrupted(self._path.name, expected="a record of answers", got="another file")
        position = len(_MAGIC)
        while position < len(data):
            following = self._read_frame(data, position)
            if following is None:  # torn by a crash while it was written: nothing was released on its word
                os.ftruncate(self._descriptor, position)
                os.fsync(self._descriptor)
                return
            position = following

    def _read_frame(self, data: bytes, position: int) -> int | None:
        """Takes in one frame; None when the file ends before the frame does."""
        body = position + _FRAME.size + _CHECK_BYTES
        if len(data) < body:
            return None
        frame: tuple[int, int, int] = _FRAME.unpack_from(data, position)
        kind, round_index, size = frame
        head, end = data[position : position + _FRAME.size], body + size + _CHECK_BYTES
        if _check(self._chain + head) != data[body - _CHECK_BYTES : body] or kind not in set(_Kind):
            raise self._damaged(position)
        if len(data) < end:
            return None
        payload = data[body : body + size]
        chain = hashlib.sha256(self._chain + head + payload).digest()
        if chain[:_CHECK_BYTES] != data[body + size : end]:
            raise self._damaged(position)
        if kind == _Kind.CONTRIBUTION:
            self._contributions[round_index] = payload
        else:
            self._contributors[round_index] = tuple(
                payload[start : start + ID_BYTES] for start in range(0, size, ID_BYTES)
            )
        self._chain = chain
        return end

    def _damaged(self, position: int) -> RecordCorrupted:
        return RecordCorrupted(
            self._path.name,
            expected="unbroken frames",
            got=f"a damaged one at byte {position}",
            advice="this bank cannot know what it has answered: leave the training, and look for the cause on the disk",
        )

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _check(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]


def _flush_data(descriptor: int) -> None:
    """Makes appended bytes durable, and the file's new length with them."""
    getattr(os, "fdatasync", os.fsync)(descriptor)  # not every system has the cheaper call


def _write_whole(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes were written")
