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
    _PACK[residue_bytes](residues, *planes(out, len(residues), residue_bytes))


def unpack_add(total: Words, data: Any, residue_bytes: int) -> None:
    """Adds a packed chunk to ``total``, without reducing: below 2^60 each, sixteen fit a word before a reduction."""
    _ADD[residue_bytes](total, *planes(data, len(total), residue_bytes))


def largest(data: Any, count: int, residue_bytes: int) -> int:
    """The largest residue of a packed chunk, for its check against the prime."""
    return int(_LARGEST[residue_bytes](*planes(data, count, residue_bytes)))


@jit
def _pack6(x, low, mid):  # type: ignore[no-untyped-def]
    for j in range(x.shape[0]):
        low[j] = nb.uint32(x[j] & nb.uint64(0xFFFFFFFF))
        mid[j] = nb.uint16(x[j] >> nb.uint64(32))


@jit
def _pack7(x, low, mid, top):  # type: ignore[no-untyped-def]
    for j in range(x.shape[0]):
        low[j] = nb.uint32(x[j] & nb.uint64(0xFFFFFFFF))
        mid[j] = nb.uint16((x[j] >> nb.uint64(32)) & nb.uint64(0xFFFF))
        top[j] = nb.uint8(x[j] >> nb.uint64(48))


@jit
def _pack8(x, low, high):  # type: ignore[no-untyped-def]
    for j in range(x.shape[0]):
        low[j] = nb.uint32(x[j] & nb.uint64(0xFFFFFFFF))
        high[j] = nb.uint32(x[j] >> nb.uint64(32))


@jit
def _add2(total, low, high):  # type: ignore[no-untyped-def]
    for j in range(total.shape[0]):
        total[j] += nb.uint64(low[j]) | (nb.uint64(high[j]) << nb.uint64(32))


@jit
def _add3(total, low, mid, top):  # type: ignore[no-untyped-def]
    for j in range(total.shape[0]):
        total[j] += nb.uint64(low[j]) | (nb.uint64(mid[j]) << nb.uint64(32)) | (nb.uint64(top[j]) << nb.uint64(48))


@jit
def _largest2(low, high):  # type: ignore[no-untyped-def]
    worst = nb.uint64(0)
    for j in range(low.shape[0]):
        worst = max(worst, nb.uint64(low[j]) | (nb.uint64(high[j]) << nb.uint64(32)))
    return worst


@jit
def _largest3(low, mid, top):  # type: ignore[no-untyped-def]
    worst = nb.uint64(0)
    for j in range(low.shape[0]):
        worst = max(
            worst, nb.uint64(low[j]) | (nb.uint64(mid[j]) << nb.uint64(32)) | (nb.uint64(top[j]) << nb.uint64(48))
        )
    return worst


_PACK: dict[int, Callable[..., None]] = {6: _pack6, 7: _pack7, 8: _pack8}
_ADD: dict[int, Callable[..., None]] = {6: _add2, 7: _add3, 8: _add2}
_LARGEST: dict[int, Callable[..., int]] = {6: _largest2, 7: _largest3, 8: _largest2}
