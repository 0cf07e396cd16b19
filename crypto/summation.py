"""The worker's sum: c_U = Σ c_i modulo q0, over packed bytes, one range of chunks at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crypto import kernels, packing
from crypto.errors import MalformedMessage
from crypto.ring import Polynomial, ring_of
from crypto.wire import RoundId

#: Contributions that are held at once: as many as make reading their bytes the cost, and no more.
_GROUP = 8
#: The largest memory of one kind that a thread keeps.
_KEPT_BYTES = 8 << 20
_OF_THREAD = threading.local()
#: Chunks whose sum stays in a processor's second-level cache while a group is added to it.
_BLOCK = 8


def sum_chunks(round_id: RoundId, first_chunk: int, chunk_count: int, parts: Iterable[Any]) -> bytes:
    """Adds the same range of chunks of several contributions, or of several shares.

    Parts are taken a few at a time, so that no more than those are held beside the sum however many there are.

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
    width, prime = round_id.parameters.residue_bytes, ring_of(round_id.parameters).primes[0]
    counts = np.array([round_id.coefficients(first_chunk + k) for k in range(chunk_count)], dtype=np.int64)
    total = _workspace("words", int(counts.sum()), np.uint64)
    limit, lazy = _lazy_limit(round_id), 0
    waiting = iter(parts)
    while group := [_octets(part, size) for part in islice(waiting, min(_GROUP, limit - 1))]:
        if lazy + len(group) > limit:
            kernels.reduce_words(total, prime.p, prime.ratio)
            lazy = 1
        _add_group(total, group, counts, width, begin=not lazy)
        lazy += len(group)
    if not lazy:
        raise MalformedMessage("sum", expected="at least one contribution", got="none")
    out = _workspace("octets", size, np.uint8)
    packing.reduce_and_pack_chunks(total, prime.prime, lazy, counts, width, out)
    return out.tobytes()


def _workspace(kind: str, length: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Kept by each thread for its next sum, since fresh pages cost as much as adding a few contributions."""
    kept: NDArray[Any] | None = getattr(_OF_THREAD, kind, None)
    if kept is None or len(kept) < length:
        kept = np.empty(length, dtype=dtype)
        if kept.nbytes <= _KEPT_BYTES:
            setattr(_OF_THREAD, kind, kept)
    return kept[:length]


def _octets(part: Any, size: int) -> NDArray[np.uint8]:
    if len(part) != size:
        raise MalformedMessage("chunks", expected=f"{size} bytes", got=str(len(part)))
    return np.frombuffer(part, dtype=np.uint8)


def _add_group(
    total: Polynomial, group: Sequence[NDArray[np.uint8]], counts: NDArray[np.int64], width: int, *, begin: bool
) -> None:  # fmt: skip
    """Adds a few parts block by block, so that a block's sum stays in the cache."""
    start = 0
    for block in range(0, len(counts), _BLOCK):
        inside = counts[block : block + _BLOCK]
        end = start + int(inside.sum())
        for k, part in enumerate(group):
            octets = part[start * width : end * width]
            packing.unpack_add_chunks(total[start:end], octets, inside, width, begin=begin and k == 0)
        start = end


def unpack_chunk(round_id: RoundId, data: Any, chunk: int) -> Polynomial:
    """One packed chunk's residues, uint64."""
    total = np.zeros(round_id.coefficients(chunk), dtype=np.uint64)
    packing.unpack_add(total, data, round_id.parameters.residue_bytes)
    return total


def _lazy_limit(round_id: RoundId) -> int:
    """How many residues below q0 fit into a word without overflow."""
    return (1 << 64) // round_id.parameters.q0 - 1
