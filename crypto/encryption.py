"""Encryption: c_i = m_i + e_i − a·s_i, one polynomial a chunk, rescaled to q0.

The message is a multiple of q1, so ⌊c_i / q1⌉ = Δ0·v + ⌊(e_i − a·s_i) / q1⌉: everything but one multiplication and one
addition a value is known before the data are, and can be made ahead of time.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from crypto import kernels, packing
from crypto.ceremony import Ceremony
from crypto.common_polynomial import CommonPolynomial
from crypto.encoding import require_bounded
from crypto.errors import MalformedMessage, SecondContribution
from crypto.keys import SecretKey
from crypto.keystream import KeyStream, derive_key
from crypto.noise import fresh_noise
from crypto.parallel import for_each_chunk
from crypto.ring import Polynomial, ring_of
from crypto.wire import HEADER_BYTES, Kind, RoundId, write_message


class Encryptor:
    """Encrypts one bank's contributions under its key of one training.

    A round is encrypted at most once: with the same a and two noises the difference of two contributions would be in
    the clear. The durable guard is the bank's record of answers; this object refuses as well.
    """

    def __init__(self, ceremony: Ceremony, sender: bytes, secret: SecretKey, *, threads: int = 1) -> None:
        ceremony.dealer_index(sender)
        self._ceremony, self._sender, self._threads = ceremony, sender, threads
        self._ring = ring_of(ceremony.parameters)
        residues = secret.evaluations()
        self._secret = tuple(
            (residue, prime.shoup_table(residue)) for residue, prime in zip(residues, self._ring.primes, strict=True)
        )
        self._masks: dict[RoundId, list[Polynomial]] = {}
        self._encrypted: set[int] = set()

    def __repr__(self) -> str:
        return "Encryptor(…)"

    def prepare(self, round_id: RoundId) -> None:
        """Makes a round's masks ahead of time: 8 bytes a value are held until `encrypt` takes them."""
        if round_id not in self._masks:
            self._masks = {round_id: self._make_masks(round_id)}

    def encrypt(self, round_id: RoundId, values: NDArray[np.int64]) -> bytes:
        """One bank's contribution to a round.

        Args:
            round_id: the round; its parameters and training are the ceremony's.
            values: int64, shape (round_id.values,), absolute values of at most 2^sum_bits.

        Returns:
            The message: header and packed residues, ``round_id.message_bytes`` long.

        Raises:
            ValueOutOfBounds: a value beyond the bound.
            MalformedMessage: a vector of another length.
            SecondContribution: this object has encrypted the round before.
        """
        if values.shape != (round_id.values,):
            raise MalformedMessage("vector", expected=f"shape ({round_id.values},)", got=f"shape {values.shape}")
        require_bounded(self._ceremony.parameters, values)
        if round_id.round in self._encrypted:
            raise SecondContribution(f"round {round_id.round}", expected="one contribution", got="a second one")
        masks = self._masks.pop(round_id, None) or self._make_masks(round_id)
        self._encrypted.add(round_id.round)
        parameters = round_id.parameters
        width, scale, q0 = parameters.residue_bytes, np.int64(parameters.scale), self._ring.primes[0].p
        body = np.empty(round_id.message_bytes - HEADER_BYTES, dtype=np.uint8)

        def encrypt_chunk(chunk: int) -> None:
            low, high = round_id.value_range(chunk, 1)
            plain = np.empty(high - low + 1, dtype=np.int64)
            plain[0] = 1
            plain[1:] = values[low:high]
            residues = np.empty(len(plain), dtype=np.uint64)
            kernels.add_message(plain, masks[chunk], scale, q0, residues)
            start = round_id.byte_range(chunk, 1)[0] - HEADER_BYTES
            packing.pack(residues, width, body[start : start + len(plain) * width])

        for_each_chunk(round_id.chunks, encrypt_chunk, threads=self._threads)
        return write_message(round_id, Kind.CONTRIBUTION, self._sender, body)

    def _make_masks(self, round_id: RoundId) -> list[Polynomial]:
        common = CommonPolynomial(round_id)
        noise = KeyStream(derive_key(os.urandom(32), b"fresh-noise"))
        masks: list[Polynomial] = [np.empty(0, dtype=np.uint64)] * round_id.chunks

        def make(chunk: int) -> None:
            count = round_id.coefficients(chunk)
            masks[chunk] = self._ring.rescale(self.encryption_of_zero(common, noise, chunk, count))

        for_each_chunk(round_id.chunks, make, threads=self._threads)
        return masks

    def encryption_of_zero(
        self, common: CommonPolynomial, noise: KeyStream, chunk: int, count: int
    ) -> tuple[Polynomial, Polynomial]:
        """The first coefficients of e − a·s modulo q0 and q1, before rescaling: integer noise, added in R_q."""
        small = fresh_noise(noise, chunk, count)
        residues = []
        for prime, a, (key, key_shoup) in zip(self._ring.primes, common.chunk(chunk), self._secret, strict=True):
            kernels.multiply_shoup(a, key, key_shoup, prime.p, a)
            prime.to_coefficients(a, count)
            total = prime.reduce_small(small)
            kernels.subtract_modular(total, a[:count], prime.p)
            residues.append(total)
        return residues[0], residues[1]
