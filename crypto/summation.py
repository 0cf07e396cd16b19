"""The worker's sum: c_U = Σ c_i modulo q0, over packed bytes, one range of chunks at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from crypto import kernels, packing
from crypto.errors import MalformedMessage
from crypto.ring import Polynomial, ring_of
from crypto.wire import RoundId


def sum_chunks(round_id: RoundId, first_chunk: int, chunk_count: int, parts: Iterable[Any]) -> bytes:
    """Adds the same range of chunks of several contributions, or of several shares.

    Contributions are taken one after the other, so that no more than one is held beside the sum.

    Args:
        round_id: the round.
        first_chunk: first chunk of the range.
        chunk_count: how many.
        parts: of every message the bytes `RoundId.byte_range` names; checked before (`check_contribution`).

    Returns:
        The sum in the same layout: residues below q0.

    Raises:
        MalformedMessage: a part of another length, or none at all.
        ValueOutOfBounds: no such chunks.
    """
    size = round_id.byte_range(first_chunk, chunk_count)[1]
    totals = [
        np.zeros(round_id.coefficients(chunk), dtype=np.uint64)
        for chunk in range(first_chunk, first_chunk + chunk_count)
    ]
    lazy = 0
    for part in parts:
        if len(part) != size:
            raise MalformedMessage("chunks", expected=f"{size} bytes", got=str(len(part)))
        if lazy == _lazy_limit(round_id):
            _reduce(round_id, totals)
            lazy = 1
        _add_part(round_id, totals, part)
        lazy += 1
    if not lazy:
        raise MalformedMessage("sum", expected="at least one contribution", got="none")
    _reduce(round_id, totals)
    out = np.empty(size, dtype=np.uint8)
    start, width = 0, round_id.parameters.residue_bytes
    for total in totals:
        packing.pack(total, width, out[start : start + len(total) * width])
        start += len(total) * width
    return out.tobytes()


def unpack_chunk(round_id: RoundId, data: Any, chunk: int) -> Polynomial:
    """One packed chunk's residues, uint64."""
    total = np.zeros(round_id.coefficients(chunk), dtype=np.uint64)
    packing.unpack_add(total, data, round_id.parameters.residue_bytes)
    return total


def _add_part(round_id: RoundId, totals: list[Polynomial], part: Any) -> None:
    octets = np.frombuffer(part, dtype=np.uint8)
    start, width = 0, round_id.parameters.residue_bytes
    for total in totals:
        packing.unpack_add(total, octets[start : start + len(total) * width], width)
        start += len(total) * width


def _lazy_limit(round_id: RoundId) -> int:
    """How many residues below q0 fit into a word without overflow."""
    return (1 << 64) // round_id.parameters.q0 - 1


def _reduce(round_id: RoundId, totals: list[Polynomial]) -> None:
    prime = ring_of(round_id.parameters).primes[0]
    for total in totals:
        kernels.reduce_words(total, prime.p, prime.ratio)
