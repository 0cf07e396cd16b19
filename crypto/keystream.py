"""Keyed streams of uniform words: AES-256 in counter mode under keys from HKDF-SHA256, both from `cryptography`.

Every stream has a key of its own, derived with its purpose and context, and is addressed by a number (the chunk), so
that chunks are made in any order, on any number of threads, and alike by everyone who has the key.
"""

from __future__ import annotations

import struct

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from crypto import kernels
from crypto.ring import Polynomial, RingPrime

KEY_BYTES = 32
_DOMAIN = b"fraud-consortium/crypto/v1/"


def derive_key(secret: bytes, purpose: bytes, *context: bytes) -> bytes:
    """A 32-byte key for one purpose (HKDF, RFC 5869); every part of the context is length-prefixed.

    Args:
        secret: at least 32 bytes of key material, or a public digest for public streams.
        purpose: what the key is for; no two uses share one.
        context: everything that the key is bound to.
    """
    info = _DOMAIN + purpose + b"".join(struct.pack(">I", len(part)) + part for part in context)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)


class KeyStream:
    """Uniform bytes under one key."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.AES256(key)

    def __repr__(self) -> str:
        return "KeyStream(…)"

    def bytes(self, stream: int, size: int, *, start: int = 0) -> NDArray[np.uint8]:
        """Bytes `start` … `start + size` of a numbered stream; `start` is a multiple of 16.

        Streams are 2^32 blocks of 16 bytes apart in the counter, so they never overlap.
        """
        nonce = struct.pack(">QQ", stream >> 32, ((stream & 0xFFFFFFFF) << 32) + start // 16)
        out = np.empty(size + 16, dtype=np.uint8)
        encryptor = Cipher(self._algorithm, modes.CTR(nonce)).encryptor()
        written = encryptor.update_into(bytes(size), out.data)
        return out[:written]

    def words(self, stream: int, count: int, *, start: int = 0) -> NDArray[np.uint64]:
        """Uniform 64-bit words, little-endian on every machine; `start` counts words and is even."""
        return self.bytes(stream, 8 * count, start=8 * start).view("<u8")

    def uniform(self, stream: int, prime: RingPrime, degree: int) -> Polynomial:
        """A polynomial with coefficients uniform below the prime, by masking and rejection (no modulo bias)."""
        mask = np.uint64((1 << prime.prime.bit_length()) - 1)
        out = np.empty(degree, dtype=np.uint64)
        filled, start, count = 0, 0, degree
        while filled < degree:
            filled = kernels.reject(self.words(stream, count, start=start), mask, prime.p, out, filled)
            start, count = start + count, 64
        return out
