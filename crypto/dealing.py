"""The key ceremony of one bank: s_i = Σ_A s_{i,A}, each piece to its holders, with a public commitment to every piece.

All pieces but the last are expanded from 32-byte seeds; the last is the polynomial that is left, with a seed of its own
for the noise. Seeds are committed to by SHA-256 (they have 256 bits of entropy, so that hides them), and the last
polynomial too, so that all holders of a piece know that they hold the same.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from crypto import kernels
from crypto.ceremony import Ceremony
from crypto.errors import DealInvalid, NotHeld, UnsealFailed
from crypto.keys import SecretKey
from crypto.keystream import KeyStream, derive_key
from crypto.parameters import RING_DEGREE
from crypto.pieces import pieces_of
from crypto.ring import Polynomial, ring_of
from crypto.sealing import SealingKey, seal

SEED_BYTES = 32
DIGEST_BYTES = 32
_COMMITMENT = b"fraud-consortium/piece-commitment/v1\0"
_SEALED_PIECES = b"fraud-consortium/sealed-pieces/v1\0"

Residues = tuple[Polynomial, Polynomial]


@dataclass(frozen=True, slots=True)
class Dealt:
    """What leaves a dealer.

    Attributes:
        commitments: public, 32 bytes a piece.
        sealed: for every committee member, the pieces that it holds, sealed to it.
    """

    commitments: bytes
    sealed: dict[bytes, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DealtPieces:
    """The pieces of one dealer's key that one member holds.

    Attributes:
        seeds: 32 bytes by piece.
        last: the last piece's polynomial in evaluation form, if the member holds it.
    """

    seeds: dict[int, bytes] = field(repr=False)
    last: Residues | None = field(repr=False)


def deal(ceremony: Ceremony, dealer: bytes, secret: SecretKey, sealing_keys: Mapping[bytes, bytes]) -> Dealt:
    """Cuts a bank's secret key into pieces and seals them to the committee.

    Args:
        ceremony: the context.
        dealer: the bank's id; itself a committee member or not.
        secret: its key.
        sealing_keys: the public sealing key of every committee member.

    Raises:
        DealInvalid: a member's sealing key is missing.
        ValueOutOfBounds: a sealing key is not valid.
    """
    index, pieces = ceremony.dealer_index(dealer), ceremony.parameters.pieces
    absent = [member for member in ceremony.committee if member not in sealing_keys]
    if absent:
        raise DealInvalid(
            "deal", expected="every committee member's sealing key", got=f"none of {absent[0].hex()}", dealer=index
        )
    seeds = [os.urandom(SEED_BYTES) for _ in range(pieces)]
    last = _last_piece(ceremony, dealer, secret, seeds[:-1])
    encoded_last = encode_last(last)
    commitments = b"".join(
        commitment(ceremony, dealer, piece, seed, encoded_last if piece == pieces - 1 else b"")
        for piece, seed in enumerate(seeds)
    )
    spec = ceremony.parameters.spec
    sealed = {}
    for member_index, member in enumerate(ceremony.committee):
        held = pieces_of(spec.committee_size, spec.threshold, member_index)
        plaintext = b"".join(seeds[piece] for piece in held)
        if pieces - 1 in held:
            plaintext += encoded_last
        sealed[member] = seal(sealing_keys[member], plaintext, info=_sealing_info(ceremony, dealer, member))
    return Dealt(commitments, sealed)


def open_deal(  # noqa: PLR0917  # dealer, member, key, then the two messages
    ceremony: Ceremony, dealer: bytes, member: bytes, key: SealingKey, commitments: bytes, sealed: bytes
) -> DealtPieces:
    """Opens what a dealer sealed to a member, and checks it against the public commitments.

    Raises:
        DealInvalid: it does not open, has another length, does not match the commitments, or a residue is none.
    """
    index, pieces = ceremony.dealer_index(dealer), ceremony.parameters.pieces
    where = f"deal of bank {index}"
    if len(commitments) != pieces * DIGEST_BYTES:
        raise DealInvalid(
            where, expected=f"{pieces} commitments", got=f"{len(commitments)} bytes of them", dealer=index
        )
    try:
        plaintext = key.open(sealed, info=_sealing_info(ceremony, dealer, member))
    except UnsealFailed as error:
        raise DealInvalid(where, expected="pieces sealed to this member", got="others", dealer=index) from error
    spec = ceremony.parameters.spec
    held = pieces_of(spec.committee_size, spec.threshold, ceremony.member_index(member))
    last_size = 2 * RING_DEGREE * 8 if pieces - 1 in held else 0
    if len(plaintext) != len(held) * SEED_BYTES + last_size:
        raise DealInvalid(where, expected=f"{len(held)} pieces", got=f"{len(plaintext)} bytes", dealer=index)
    encoded_last = plaintext[len(held) * SEED_BYTES :]
    seeds = {piece: plaintext[k * SEED_BYTES : (k + 1) * SEED_BYTES] for k, piece in enumerate(held)}
    for piece, seed in seeds.items():
        expected = commitments[piece * DIGEST_BYTES : (piece + 1) * DIGEST_BYTES]
        if commitment(ceremony, dealer, piece, seed, encoded_last if piece == pieces - 1 else b"") != expected:
            raise DealInvalid(where, expected=f"piece {piece} as committed to", got="another", dealer=index)
    return DealtPieces(seeds, decode_last(ceremony, index, encoded_last) if last_size else None)


def commitment(ceremony: Ceremony, dealer: bytes, piece: int, seed: bytes, encoded_last: bytes) -> bytes:
    """SHA-256 over domain, ceremony, dealer, piece, seed, and the last piece's polynomial."""
    context = ceremony.digest + dealer + struct.pack(">H", piece)
    return hashlib.sha256(_COMMITMENT + context + seed + encoded_last).digest()


def expand_piece(ceremony: Ceremony, dealer: bytes, piece: int, seed: bytes) -> Residues:
    """s_{i,A}: uniform in R_q, in evaluation form, from the piece's seed."""
    context = (ceremony.digest, dealer, struct.pack(">H", piece))
    stream = KeyStream(derive_key(seed, b"piece", *context))
    first, second = ring_of(ceremony.parameters).primes
    return stream.uniform(0, first, RING_DEGREE), stream.uniform(1, second, RING_DEGREE)


def noise_key(ceremony: Ceremony, piece: int, seeds: Mapping[bytes, bytes]) -> bytes:
    """k_A: from every dealer's seed for the piece, so that no dealer alone knows or chooses a piece's noise.

    Args:
        ceremony: the context.
        piece: A.
        seeds: by dealer, all of them.

    Raises:
        NotHeld: a dealer's seed is missing.
    """
    if set(seeds) != set(ceremony.dealers):
        raise NotHeld(f"piece {piece}", expected="every dealer's seed", got=f"{len(seeds)} of {len(ceremony.dealers)}")
    # Each dealer's part is derived from its seed first, apart from the seed's use for the polynomial.
    parts = [
        derive_key(seeds[dealer], b"piece-noise-part", ceremony.digest, dealer, struct.pack(">H", piece))
        for dealer in ceremony.dealers
    ]
    return derive_key(b"".join(parts), b"piece-noise", ceremony.digest, struct.pack(">H", piece))


def _last_piece(ceremony: Ceremony, dealer: bytes, secret: SecretKey, seeds: list[bytes]) -> Residues:
    """s_i − Σ of the other pieces."""
    rest = secret.evaluations()
    for piece, seed in enumerate(seeds):
        for prime, total, residues in zip(
            ring_of(ceremony.parameters).primes, rest, expand_piece(ceremony, dealer, piece, seed), strict=True
        ):
            kernels.subtract_modular(total, residues, prime.p)
    return rest


def encode_last(residues: Residues) -> bytes:
    """The last piece's polynomial as 2N little-endian words."""
    return b"".join(residue.astype("<u8").tobytes() for residue in residues)


def decode_last(ceremony: Ceremony, index: int, data: bytes) -> Residues:
    """The inverse of `encode_last`.

    Raises:
        DealInvalid: a residue is not below its prime.
    """
    both = np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(2, RING_DEGREE)
    for prime, residues in zip(ring_of(ceremony.parameters).primes, both, strict=True):
        if residues.max() >= prime.p:
            raise DealInvalid(
                f"deal of bank {index}", expected="residues below the prime", got="a larger one", dealer=index
            )
    return both[0].copy(), both[1].copy()


def _sealing_info(ceremony: Ceremony, dealer: bytes, member: bytes) -> bytes:
    return _SEALED_PIECES + ceremony.digest + dealer + member
