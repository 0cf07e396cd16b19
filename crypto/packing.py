"""Residues as bytes: a chunk is a plane of their low 32 bits, then one of the next 16 or 32, then one of the top 8.

Planes of whole machine words are read and added at the speed of memory, which shifting a bit stream is not; the primes
are as wide as the planes, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from crypto.kernels import jit

Words = NDArray[np.uint64]

_NO_BITS, _ALL_BITS = np.uint64(0), np.uint64(2**64 - 1)
#: Residues that are below their prime are packed as they are: nothing is subtracted.
_NO_PRIME = np.uint64(0)

#: The planes of a residue of so many bytes.
_PLANES: dict[int, tuple[type[np.unsignedinteger[Any]], ...]] = {
    6: (np.uint32, np.uint16),
    7: (np.uint32, np.uint16, np.uint8),
    8: (np.uint32, np.uint32),
}


def planes(data: bytes | bytearray | memoryview | NDArray[np.uint8], count: int, residue_bytes: int) -> list[Any]:
    """Views of a chunk's planes, without a copy.

    Args:
        data: exactly ``count * residue_bytes`` bytes.
        count: residues in the chunk.
        residue_bytes: 6, 7 or 8.
    """
    octets = np.frombuffer(data, dtype=np.uint8) if not isinstance(data, np.ndarray) else data
    views, start = [], 0
    for word in _PLANES[residue_bytes]:
        size = count * np.dtype(word).itemsize
        views.append(octets[start : start + size].view(word))
        start += size
    return views


def pack(residues: Words, residue_bytes: int, out: NDArray[np.uint8]) -> None:
    """Writes a chunk's residues into ``out``, ``len(residues) * residue_bytes`` bytes."""
    _PACK[residue_bytes](residues, _NO_PRIME, *planes(out, len(residues), residue_bytes))


def unpack_add(total: Words, data: Any, residue_bytes: int) -> None:
    """Adds a packed chunk to ``total``, without reducing: below 2^60 each, sixteen fit a word before a reduction."""
    _ADD[residue_bytes](total, _ALL_BITS, *planes(data, len(total), residue_bytes))


def unpack_add_chunks(
    total: Words, data: NDArray[np.uint8], counts: NDArray[np.int64], residue_bytes: int, *, begin: bool = False
) -> None:
    """Adds several packed chunks, one after the other, to ``total``; see `unpack_add`.

    Args:
        total: uint64, as long as all chunks together.
        data: uint8, the chunks' bytes.
        counts: int64, residues of each chunk.
        residue_bytes: 6, 7 or 8.
        begin: overwrite ``total`` instead: a sum's first part, which spares zeros.
    """
    _ADD_CHUNKS[residue_bytes](total, _NO_BITS if begin else _ALL_BITS, data, counts)


def reduce_and_pack_chunks(
    total: Words, prime: int, terms: int, counts: NDArray[np.int64], residue_bytes: int, out: NDArray[np.uint8]
) -> None:
    """Reduces a sum of so many residues modulo the prime, and packs it chunk by chunk.

    Subtracting the prime's multiples by powers of two, largest first, where they fit: branchless, hence vectorised.
    """
    multiples = [prime << k for k in reversed(range((terms - 1).bit_length()))] or [prime]
    _REDUCE_PACK[residue_bytes](total, np.array(multiples, dtype=np.uint64), counts, out)


def all_below(data: Any, count: int, residue_bytes: int, bound: int) -> bool:
    """Whether every residue of a packed chunk is below a bound, which its bytes could hold.

    From the top plane down, each among those that are the bound's so far, which are none after the first in a short
    chunk. NumPy's alone: a server that takes uploads has nothing to compile, and no compiler in its memory.
    """
    among: slice | NDArray[np.intp] = slice(None)
    bits = 8 * residue_bytes
    for plane in reversed(planes(data, count, residue_bytes)):
        words = plane[among]
        bits -= 8 * words.itemsize
        limit = bound >> bits & ((1 << 8 * words.itemsize) - 1)
        top = int(words.max())
        if top != limit:
            return bool(top < limit)
        kept = np.flatnonzero(words == limit)
        among = kept if isinstance(among, slice) else among[kept]
    return False  # one is the bound itself


@jit
def _pack6(x, p, low, mid):  # type: ignore[no-untyped-def]
    for j in range(x.shape[0]):
        y = min(x[j], x[j] - p)
        low[j] = nb.uint32(y & nb.uint64(0xFFFFFFFF))
        mid[j] = nb.uint16(y >> nb.uint64(32))


@jit
def _pack7(x, p, low, mid, top):  # type: ignore[no-untyped-def]
    for j in range(x.shape[0]):
        y = min(x[j], x[j] - p)
        low[j] = nb.uint32(y & nb.uint64(0xFFFFFFFF))
        mid[j] = nb.uint16((y >> nb.uint64(32)) & nb.uint64(0xFFFF))
        top[j] = nb.uint8(y >> nb.uint64(48))


@jit
def _pack8(x, p, low, high):  # type: ignore[no-untyped-def]
    for j in range(x.shape[0]):
        y = min(x[j], x[j] - p)
        low[j] = nb.uint32(y & nb.uint64(0xFFFFFFFF))
        high[j] = nb.uint32(y >> nb.uint64(32))


@jit
def _add2(total, keep, low, high):  # type: ignore[no-untyped-def]
    for j in range(total.shape[0]):
        total[j] = (total[j] & keep) + (nb.uint64(low[j]) | (nb.uint64(high[j]) << nb.uint64(32)))


@jit
def _add3(total, keep, low, mid, top):  # type: ignore[no-untyped-def]
    for j in range(total.shape[0]):
        total[j] = (total[j] & keep) + (
            nb.uint64(low[j]) | (nb.uint64(mid[j]) << nb.uint64(32)) | (nb.uint64(top[j]) << nb.uint64(48))
        )


@jit
def _add_chunks6(total, keep, data, counts):  # type: ignore[no-untyped-def]
    done = 0
    for c in range(counts.shape[0]):
        n = counts[c]
        start = done * 6
        low = data[start : start + 4 * n].view(np.uint32)
        mid = data[start + 4 * n : start + 6 * n].view(np.uint16)
        _add2(total[done : done + n], keep, low, mid)
        done += n


@jit
def _add_chunks7(total, keep, data, counts):  # type: ignore[no-untyped-def]
    done = 0
    for c in range(counts.shape[0]):
        n = counts[c]
        start = done * 7
        low = data[start : start + 4 * n].view(np.uint32)
        mid = data[start + 4 * n : start + 6 * n].view(np.uint16)
        _add3(total[done : done + n], keep, low, mid, data[start + 6 * n : start + 7 * n])
        done += n


@jit
def _add_chunks8(total, keep, data, counts):  # type: ignore[no-untyped-def]
    done = 0
    for c in range(counts.shape[0]):
        n = counts[c]
        start = done * 8
        low = data[start : start + 4 * n].view(np.uint32)
        _add2(total[done : done + n], keep, low, data[start + 4 * n : start + 8 * n].view(np.uint32))
        done += n


@jit
def _reduce(total, multiples):  # type: ignore[no-untyped-def]
    for k in range(multiples.shape[0] - 1):  # the last one is subtracted while packing
        multiple = multiples[k]
        for j in range(total.shape[0]):
            total[j] = min(total[j], total[j] - multiple)


@jit
def _reduce_pack6(total, multiples, counts, out):  # type: ignore[no-untyped-def]
    done = 0
    for c in range(counts.shape[0]):
        n = counts[c]
        x = total[done : done + n]
        _reduce(x, multiples)
        start = done * 6
        _pack6(
            x,
            multiples[-1],
            out[start : start + 4 * n].view(np.uint32),
            out[start + 4 * n : start + 6 * n].view(np.uint16),
        )
        done += n


@jit
def _reduce_pack7(total, multiples, counts, out):  # type: ignore[no-untyped-def]
    done = 0
    for c in range(counts.shape[0]):
        n = counts[c]
        x = total[done : done + n]
        _reduce(x, multiples)
        start = done * 7
        low = out[start : start + 4 * n].view(np.uint32)
        mid = out[start + 4 * n : start + 6 * n].view(np.uint16)
        _pack7(x, multiples[-1], low, mid, out[start + 6 * n : start + 7 * n])
        done += n


@jit
def _reduce_pack8(total, multiples, counts, out):  # type: ignore[no-untyped-def]
    done = 0
    for c in range(counts.shape[0]):
        n = counts[c]
        x = total[done : done + n]
        _reduce(x, multiples)
        start = done * 8
        _pack8(
            x,
            multiples[-1],
            out[start : start + 4 * n].view(np.uint32),
            out[start + 4 * n : start + 8 * n].view(np.uint32),
        )
        done += n


_PACK: dict[int, Callable[..., None]] = {6: _pack6, 7: _pack7, 8: _pack8}
_ADD: dict[int, Callable[..., None]] = {6: _add2, 7: _add3, 8: _add2}
_ADD_CHUNKS: dict[int, Callable[..., None]] = {6: _add_chunks6, 7: _add_chunks7, 8: _add_chunks8}
_REDUCE_PACK: dict[int, Callable[..., None]] = {6: _reduce_pack6, 7: _reduce_pack7, 8: _reduce_pack8}
