"""The published form of an aggregate: fixed-point integers, little-endian two's complement, as few whole bytes as the
query's bound needs. Everyone who applies a round reads these bytes, and the history chains their digest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning.query import Query
from protocol.errors import AggregateMalformed


def value_bytes(query: Query) -> int:
    """Bytes a value: the sum's bits, one more for rounding up to the bound, and the sign."""
    return min(8, (query.sum_bits + 2 + 7) // 8)


def encode_aggregate(query: Query, total: NDArray[np.int64]) -> bytes:
    """Packs the decrypted sum.

    Args:
        query: the round's query.
        total: int64, shape (query.length,), in units of the query's resolution.

    Raises:
        AggregateMalformed: wrong shape, or a value beyond what the query's bound allows.
    """
    width = value_bytes(query)
    if total.shape != (query.length,):
        raise AggregateMalformed(expected=f"shape ({query.length},)", got=f"shape {total.shape}")
    limit = 1 << (8 * width - 1)
    if width < 8 and (int(total.max()) >= limit or int(total.min()) < -limit):
        raise AggregateMalformed(expected=f"values of at most {8 * width - 1} bits", got="a larger one")
    octets = np.ascontiguousarray(total, dtype="<i8").view(np.uint8).reshape(-1, 8)
    return np.ascontiguousarray(octets[:, :width]).tobytes()


def decode_aggregate(query: Query, data: bytes) -> NDArray[np.int64]:
    """The inverse of `encode_aggregate`.

    Returns:
        int64, shape (query.length,), in units of the query's resolution.

    Raises:
        AggregateMalformed: not exactly the bytes that the query asks for.
    """
    width = value_bytes(query)
    if len(data) != query.length * width:
        raise AggregateMalformed(expected=f"{query.length} values of {width} bytes", got=f"{len(data)} bytes")
    # Every value is read as a word of eight bytes, of which the highest are the next values': they are shifted out.
    words = np.ndarray((query.length,), dtype="<i8", buffer=data + bytes(8 - width), strides=(width,))
    shift = 64 - 8 * width
    total = (words << shift).astype(np.int64, copy=False)
    total >>= shift
    return total
