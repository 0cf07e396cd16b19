"""A member's decryption share: d_j = Σ_A (a·s_A(U) + e_A) over the pieces that it is assigned, rescaled to q0.

It depends on (a, U) and the pieces, and on no ciphertext; the same request gives the same bytes, for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto import kernels, packing
from crypto.ceremony import Ceremony
from crypto.committee_key import CommitteeKey
from crypto.common_polynomial import CommonPolynomial
from crypto.noise import SmudgingSum
from crypto.parallel import for_each_chunk
from crypto.ring import Polynomial, ring_of
from crypto.wire import HEADER_BYTES, Kind, RoundId, contributors_digest, write_message

#: Sums of pieces kept for the (contributors, pieces) seen last: 256 KiB each.
_CACHED_SUMS = 4

_Tables = tuple[tuple[Polynomial, Polynomial], ...]


class Decryptor:
    """Makes one member's shares of one training's rounds.

    It does not decide whether to answer: the bank checks the contributor set and records it durably first.
    """

    def __init__(self, ceremony: Ceremony, member: bytes, key: CommitteeKey, *, threads: int = 1) -> None:
        ceremony.member_index(member)
        self._ceremony, self._member, self._key, self._threads = ceremony, member, key, threads
        self._ring = ring_of(ceremony.parameters)
        self._sums: dict[tuple[bytes, tuple[int, ...]], _Tables] = {}

    def __repr__(self) -> str:
        return "Decryptor(…)"

    def share(self, round_id: RoundId, contributors: Sequence[bytes], pieces: Sequence[int]) -> bytes:
        """The decryption share of these pieces for the sum over exactly these contributors.

        Args:
            round_id: the round.
            contributors: U, 16-byte ids; in any order.
            pieces: which pieces; all held by this member.

        Returns:
            The message, ``round_id.message_bytes`` long.

        Raises:
            NotHeld: a piece that this member does not hold, or a contributor who dealt nothing.
            KeyDestroyed: the training's keys are gone.
        """
        contributors, pieces = tuple(sorted(contributors)), tuple(sorted(pieces))
        digest = contributors_digest(contributors)
        tables = self._tables(digest, contributors, pieces)
        smudging = self._key.smudging(round_id, contributors, pieces)
        common = CommonPolynomial(round_id)
        width = round_id.parameters.residue_bytes
        body = np.empty(round_id.message_bytes - HEADER_BYTES, dtype=np.uint8)

        def share_chunk(chunk: int) -> None:
            count = round_id.coefficients(chunk)
            residues = self._ring.rescale(self._partial(common, tables, smudging, chunk, count))
            start = round_id.byte_range(chunk, 1)[0] - HEADER_BYTES
            packing.pack(residues, width, body[start : start + count * width])

        for_each_chunk(round_id.chunks, share_chunk, threads=self._threads)
        return write_message(round_id, Kind.SHARE, self._member, body, contributors=digest, pieces=pieces)

    def _tables(self, digest: bytes, contributors: Sequence[bytes], pieces: tuple[int, ...]) -> _Tables:
        cached = self._sums.get((digest, pieces))
        if cached is None:
            total = self._key.sum_of_pieces(contributors, pieces)
            cached = tuple(
                (residue, prime.shoup_table(residue)) for residue, prime in zip(total, self._ring.primes, strict=True)
            )
            while len(self._sums) >= _CACHED_SUMS:
                self._sums.pop(next(iter(self._sums)))
            self._sums[digest, pieces] = cached
        return cached

    def _partial(
        self, common: CommonPolynomial, tables: _Tables, smudging: SmudgingSum, chunk: int, count: int
    ) -> tuple[Polynomial, Polynomial]:
        """The first coefficients of Σ (a·s_A + e_A) modulo q0 and q1."""
        low, high = smudging.residues(chunk, count)
        residues = []
        for prime, a, (key, key_shoup) in zip(self._ring.primes, common.chunk(chunk), tables, strict=True):
            kernels.multiply_shoup(a, key, key_shoup, prime.p, a)
            prime.to_coefficients(a, count)
            total = a[:count].copy()
            offset = np.uint64(smudging.offset % prime.prime)
            kernels.add_wide(total, low, high, prime.p, prime.ratio, *prime.two_64, offset)
            residues.append(total)
        return residues[0], residues[1]
