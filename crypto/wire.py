"""The bytes of contributions and decryption shares: one fixed header, then chunks of packed residues.

A chunk has N − 1 values after its check coefficient (the last chunk: as many as are left); it takes
``(values + 1) * residue_bytes`` bytes, so a range of chunks is a range of bytes, and a worker reads no more than that.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from crypto import packing
from crypto.errors import DigestMismatch, MalformedMessage, ValueOutOfBounds, WrongParameters, WrongRound
from crypto.parameters import RING_DEGREE, Parameters

MAGIC = b"CKSS"
WIRE_VERSION = 1
ID_BYTES = 16
#: magic, version, kind, parameters, training, round, sender, values, contributors' digest, pieces, body's digest.
_HEADER = struct.Struct(">4sHH16s16sI16sQ32s16s32s")
HEADER_BYTES = _HEADER.size
MAX_VALUES = 1 << 28
_NO_CONTRIBUTORS = bytes(32)
_CONTRIBUTORS_DOMAIN = b"fraud-consortium/contributors/v1\0"


class Kind(IntEnum):
    """What a message is."""

    CONTRIBUTION = 1
    SHARE = 2


@dataclass(frozen=True)
class RoundId:
    """One secure sum: of which training, which round, how many values.

    Attributes:
        parameters: the training's.
        training: 16 bytes.
        round: from 0.
        values: length of the vector.
    """

    parameters: Parameters
    training: bytes
    round: int
    values: int

    def __post_init__(self) -> None:
        if len(self.training) != ID_BYTES:
            raise ValueOutOfBounds("training", expected=f"{ID_BYTES} bytes", got=str(len(self.training)))
        if not 0 <= self.round < 1 << 32:
            raise ValueOutOfBounds("round", expected="a number below 2^32", got=str(self.round))
        if not 1 <= self.values <= MAX_VALUES:
            raise ValueOutOfBounds("values", expected=f"1 to {MAX_VALUES} values", got=str(self.values))

    @property
    def chunks(self) -> int:
        """Polynomials in a message."""
        return self.parameters.chunks(self.values)

    @cached_property
    def message_bytes(self) -> int:
        """Size of a contribution, and of a share, with its header."""
        return HEADER_BYTES + (self.values + self.chunks) * self.parameters.residue_bytes

    def coefficients(self, chunk: int) -> int:
        """Residues in a chunk: the check and its values."""
        return min(RING_DEGREE, self.values + self.chunks - chunk * RING_DEGREE)

    def value_range(self, first_chunk: int, chunk_count: int) -> tuple[int, int]:
        """Which values these chunks hold: first, and one past the last."""
        per_chunk = self.parameters.values_per_chunk
        return first_chunk * per_chunk, min(self.values, (first_chunk + chunk_count) * per_chunk)

    def byte_range(self, first_chunk: int, chunk_count: int) -> tuple[int, int]:
        """(offset, size) of a range of chunks in a message.

        Raises:
            ValueOutOfBounds: there are no such chunks.
        """
        if not (first_chunk >= 0 and chunk_count >= 1 and first_chunk + chunk_count <= self.chunks):
            raise ValueOutOfBounds(
                "chunks", expected=f"a range within {self.chunks} chunks", got=f"{first_chunk} + {chunk_count}"
            )
        low, high = self.value_range(first_chunk, chunk_count)
        width = self.parameters.residue_bytes
        return HEADER_BYTES + first_chunk * RING_DEGREE * width, (high - low + chunk_count) * width


@dataclass(frozen=True, slots=True)
class Header:
    """A message's header."""

    kind: Kind
    parameter_id: bytes
    training: bytes
    round: int
    sender: bytes
    values: int
    contributors_digest: bytes
    pieces: tuple[int, ...]
    body_digest: bytes

    def to_bytes(self) -> bytes:
        """The fixed form, `HEADER_BYTES` long."""
        mask = sum(1 << piece for piece in self.pieces)
        return _HEADER.pack(
            MAGIC, WIRE_VERSION, self.kind, self.parameter_id, self.training, self.round, self.sender, self.values,
            self.contributors_digest, mask.to_bytes(16, "big"), self.body_digest,
        )  # fmt: skip


def contributors_digest(contributors: Sequence[bytes]) -> bytes:
    """SHA-256 of a contributor set: 16-byte ids in ascending order.

    Raises:
        ValueOutOfBounds: an id of another length, or one twice.
    """
    distinct = sorted(set(contributors))
    if len(distinct) != len(contributors) or any(len(bank) != ID_BYTES for bank in distinct):
        raise ValueOutOfBounds("contributors", expected="distinct ids of 16 bytes", got="others")
    return hashlib.sha256(_CONTRIBUTORS_DOMAIN + b"".join(distinct)).digest()


def read_header(data: Any) -> Header:
    """Reads a message's header.

    Raises:
        MalformedMessage: too short, another format or version.
    """
    view = memoryview(data)
    if len(view) < HEADER_BYTES:
        raise MalformedMessage("header", expected=f"{HEADER_BYTES} bytes", got=f"{len(view)}")
    (magic, version, kind, parameter_id, training, round_index, sender, values, contributors, mask, digest) = (
        _HEADER.unpack(view[:HEADER_BYTES])
    )
    if magic != MAGIC or version != WIRE_VERSION:
        raise MalformedMessage(
            "header", expected=f"{MAGIC.decode()} version {WIRE_VERSION}", got="another format or version"
        )
    if kind not in set(Kind):
        raise MalformedMessage("header", expected="a contribution or a share", got=f"kind {kind}")
    bits = int.from_bytes(mask, "big")
    pieces = tuple(piece for piece in range(bits.bit_length()) if bits >> piece & 1)
    return Header(Kind(kind), parameter_id, training, round_index, sender, values, contributors, pieces, digest)


def write_message(
    round_id: RoundId, kind: Kind, sender: bytes, body: Any, *, contributors: bytes = _NO_CONTRIBUTORS,
    pieces: Sequence[int] = (),
) -> bytes:  # fmt: skip
    """Header and body together; the body is copied once."""
    header = Header(
        kind, round_id.parameters.id, round_id.training, round_id.round, sender, round_id.values, contributors,
        tuple(pieces), hashlib.sha256(body).digest(),
    )  # fmt: skip
    return b"".join((header.to_bytes(), body))


def check_contribution(round_id: RoundId, sender: bytes, data: Any) -> None:
    """Checks a contribution whole: length, header, digest, every residue below the prime.

    Args:
        round_id: the round that it is for.
        sender: the bank that sent it, 16 bytes.
        data: all of its bytes.

    Raises:
        MalformedMessage: wrong length or format, or a residue that is none.
        WrongParameters: made under other parameters.
        WrongRound: of another training, round, bank or length.
        DigestMismatch: the body was altered.
    """
    _check(round_id, Kind.CONTRIBUTION, sender, data, contributors=_NO_CONTRIBUTORS, pieces=())


def check_share(
    round_id: RoundId, sender: bytes, contributors: Sequence[bytes], pieces: Sequence[int], data: Any
) -> None:
    """Checks a decryption share whole; see `check_contribution`, with the contributor set and the pieces asked for."""
    _check(round_id, Kind.SHARE, sender, data, contributors=contributors_digest(contributors), pieces=pieces)


def _check(
    round_id: RoundId, kind: Kind, sender: bytes, data: Any, *, contributors: bytes, pieces: Sequence[int]
) -> None:
    what = kind.name.lower()
    header = read_header(data)
    if header.kind is not kind:
        raise MalformedMessage(what, expected=f"a {what}", got=f"a {header.kind.name.lower()}")
    if header.parameter_id != round_id.parameters.id:
        raise WrongParameters(what, expected=round_id.parameters.id.hex(), got=header.parameter_id.hex())
    for name, expected, got in (
        ("training", round_id.training.hex(), header.training.hex()),
        ("round", round_id.round, header.round),
        ("sender", sender.hex(), header.sender.hex()),
        ("values", round_id.values, header.values),
        ("contributor set", contributors.hex(), header.contributors_digest.hex()),
        ("pieces", tuple(sorted(pieces)), header.pieces),
    ):
        if expected != got:
            raise WrongRound(f"{what}: {name}", expected=str(expected), got=str(got))
    view = memoryview(data)
    if len(view) != round_id.message_bytes:
        raise MalformedMessage(what, expected=f"{round_id.message_bytes} bytes", got=str(len(view)))
    body = view[HEADER_BYTES:]
    if hashlib.sha256(body).digest() != header.body_digest:
        raise DigestMismatch(what, expected="the body that its header names", got="another")
    check_residues(round_id, 0, round_id.chunks, body)


def check_residues(round_id: RoundId, first_chunk: int, chunk_count: int, body: Any) -> None:
    """Checks that every residue of a range of chunks is below the prime.

    Raises:
        MalformedMessage: one is not, or the length is not that of the range.
    """
    size = round_id.byte_range(first_chunk, chunk_count)[1]
    view = memoryview(body)
    if len(view) != size:
        raise MalformedMessage("chunks", expected=f"{size} bytes", got=str(len(view)))
    start, width = 0, round_id.parameters.residue_bytes
    for chunk in range(first_chunk, first_chunk + chunk_count):
        count = round_id.coefficients(chunk)
        if not packing.all_below(view[start : start + count * width], count, width, round_id.parameters.q0):
            raise MalformedMessage(f"chunk {chunk}", expected="residues below the prime", got="a larger one")
        start += count * width
