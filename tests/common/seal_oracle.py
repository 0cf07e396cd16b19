"""SEAL as the oracle: our residues as a SEAL ciphertext, and what SEAL's Decryptor and Evaluator make of it.

SEAL's objects pass through files only; a memfd keeps them off the disk. The stream is SEAL's documented format without
compression: a 16-byte header, then parms id and shape, then an array of uint64 with a header of its own.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tenseal import sealapi

from crypto.parameters import RING_DEGREE, Parameters
from crypto.ring import ring_prime
from crypto.seal import seal_context, special_prime

Polynomial = NDArray[np.uint64]
_HEADER = struct.Struct("<HBBBBHQ")


def _stream(payload: bytes) -> bytes:
    return _HEADER.pack(0xA15E, _HEADER.size, 4, 3, 0, 0, _HEADER.size + len(payload)) + payload


def _array(words: NDArray[np.uint64]) -> bytes:
    return _stream(struct.pack("<Q", len(words)) + words.astype("<u8").tobytes())


@contextmanager
def _memory(content: bytes = b"") -> Iterator[tuple[int, str]]:
    descriptor = os.memfd_create("seal")
    try:
        os.write(descriptor, content)
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _saved(thing: Any) -> bytes:
    """What SEAL saves, decompressed, without its header."""
    with _memory() as (descriptor, path):
        thing.save(path)
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return pa.input_stream(BytesIO(data[_HEADER.size :]), compression="zstd").read()


class SealOracle:
    """SEAL at the modulus of some primes, at its 192-bit level.

    Args:
        parameters: ours.
        primes: the ciphertext primes: q0 and q1, or q0 alone, as what is sent.
    """

    def __init__(self, parameters: Parameters, *, rescaled: bool) -> None:
        self.primes = (parameters.q0,) if rescaled else (parameters.q0, parameters.q1)
        self._special = special_prime(parameters)
        self.context = seal_context(parameters) if not rescaled else self._context()

    def _context(self) -> Any:
        chosen = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        chosen.set_poly_modulus_degree(RING_DEGREE)
        chosen.set_coeff_modulus([sealapi.Modulus(prime) for prime in (*self.primes, self._special)])
        context = sealapi.SEALContext(chosen, True, sealapi.SEC_LEVEL_TYPE.TC192)
        assert context.parameters_set(), context.parameters_error_message()
        return context

    def ciphertext(self, *polynomials: Sequence[Polynomial]) -> Any:
        """A ciphertext from polynomials, each a list of its residues by prime."""
        words = np.concatenate([residues for polynomial in polynomials for residues in polynomial])
        head = struct.pack("<4Q", *self.context.first_parms_id())
        shape = struct.pack("<B3QdQ", 1, len(polynomials), RING_DEGREE, len(self.primes), 1.0, 1)
        loaded = sealapi.Ciphertext()
        with _memory(_stream(head + shape + _array(words))) as (_, path):
            loaded.load(self.context, path)
        return loaded

    def residues(self, ciphertext: Any) -> list[list[Polynomial]]:
        """The inverse of `ciphertext`."""
        data = _saved(ciphertext)
        words = np.frombuffer(data[73 + _HEADER.size + 8 :], dtype="<u8").astype(np.uint64)
        return [list(polynomial) for polynomial in words.reshape(-1, len(self.primes), RING_DEGREE)]

    def add(self, first: Any, second: Any) -> Any:
        """SEAL's Evaluator.add."""
        out = sealapi.Ciphertext()
        sealapi.Evaluator(self.context).add(first, second, out)
        return out

    def decrypt(self, ciphertext: Any, secret: NDArray[np.int64]) -> list[int]:
        """SEAL's Decryptor under a small key: the plaintext's centred coefficients.

        Args:
            ciphertext: of two polynomials, evaluation form.
            secret: the key's coefficients, int64, shape (N,).
        """
        key = sealapi.SecretKey()
        every = (*self.primes, self._special)
        words = np.concatenate([_evaluations(secret, prime) for prime in every])
        head = struct.pack("<4Q", *self.context.key_parms_id()) + struct.pack("<Qd", len(words), 1.0)
        with _memory(_stream(head + _array(words))) as (_, path):
            key.load(self.context, path)
        plain = sealapi.Plaintext()
        sealapi.Decryptor(self.context, key).decrypt(ciphertext, plain)
        data = _saved(plain)
        rows = np.frombuffer(data[48 + _HEADER.size + 8 :], dtype="<u8").astype(np.uint64).reshape(-1, RING_DEGREE)
        for prime, residues in zip(self.primes, rows, strict=True):
            ring_prime(prime).to_coefficients(residues)
        return _centred(rows, self.primes)


def _evaluations(small: NDArray[np.int64], prime: int) -> Polynomial:
    residues = np.array([int(value) % prime for value in small], dtype=np.uint64)
    ring_prime(prime).to_evaluations(residues)
    return residues


def _centred(rows: NDArray[np.uint64], primes: Sequence[int]) -> list[int]:
    """Chinese remaindering in Python's integers."""
    modulus = math.prod(primes)
    weights = [modulus // prime * pow(modulus // prime, -1, prime) for prime in primes]
    values = [
        sum(int(row[j]) * weight for row, weight in zip(rows, weights, strict=True)) % modulus
        for j in range(rows.shape[1])
    ]
    return [value - modulus if value > modulus // 2 else value for value in values]
