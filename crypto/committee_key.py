"""What a committee member holds: its pieces of every bank's key, and the pieces' noise keys."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from crypto import kernels
from crypto.ceremony import Ceremony
from crypto.dealing import (
    SEED_BYTES,
    DealtPieces,
    Residues,
    decode_last,
    encode_last,
    expand_piece,
    noise_key,
    open_deal,
)
from crypto.errors import DealInvalid, KeyDestroyed, MalformedMessage, NotHeld
from crypto.keystream import KeyStream, derive_key
from crypto.noise import SmudgingSum
from crypto.parameters import RING_DEGREE
from crypto.pieces import pieces_of
from crypto.ring import ring_of
from crypto.sealing import SealingKey
from crypto.wire import RoundId, contributors_digest

_MAGIC = b"CKCK\x00\x01"


class CommitteeKey:
    """One member's pieces of all dealers' keys. Never printed; destroyed when the training ends."""

    def __init__(self, ceremony: Ceremony, member: bytes, pieces: dict[bytes, DealtPieces]) -> None:
        spec = ceremony.parameters.spec
        self.ceremony = ceremony
        self.member = member
        self.held = pieces_of(spec.committee_size, spec.threshold, ceremony.member_index(member))
        self._pieces: dict[bytes, DealtPieces] | None = pieces
        self._noise_keys: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return "CommitteeKey(…)"

    def sum_of_pieces(self, contributors: Sequence[bytes], pieces: Sequence[int]) -> Residues:
        """Σ_{A in pieces} s_A(U), with s_A(U) = Σ_{i∈U} s_{i,A}; evaluation form.

        Raises:
            NotHeld: a piece that this member does not hold, or a contributor who dealt it nothing.
            KeyDestroyed: the key was destroyed.
        """
        dealt = self._require(pieces)
        total: Residues | None = None
        primes = ring_of(self.ceremony.parameters).primes
        for bank in contributors:
            if bank not in dealt:
                raise NotHeld("share", expected="contributors that dealt their keys", got=bank.hex())
            for piece in pieces:
                residues = self._piece(dealt[bank], bank, piece)
                if total is None:
                    total = residues[0].copy(), residues[1].copy()
                    continue
                for prime, into, more in zip(primes, total, residues, strict=True):
                    kernels.add_modular(into, more, prime.p)
        if total is None:
            raise NotHeld("share", expected="at least one piece and one contributor", got="none")
        return total

    def smudging(self, round_id: RoundId, contributors: Sequence[bytes], pieces: Sequence[int]) -> SmudgingSum:
        """Σ_{A in pieces} e_A of one round: derived from k_A and (training, round, U), and the chunk.

        Raises:
            NotHeld: a piece that this member does not hold.
            KeyDestroyed: the key was destroyed.
        """
        dealt = self._require(pieces)
        keys = [self._noise_key(piece, dealt) for piece in pieces]
        # Not the number of values: a round asked for once more in another length gets the same noise over the same a.
        context = (round_id.training, struct.pack(">I", round_id.round), contributors_digest(contributors))
        streams = [KeyStream(derive_key(key, b"smudging", *context)) for key in keys]
        return SmudgingSum(self.ceremony.parameters, streams)

    def _noise_key(self, piece: int, dealt: dict[bytes, DealtPieces]) -> bytes:
        """k_A, which is the same in every round."""
        if piece not in self._noise_keys:
            seeds = {bank: held.seeds[piece] for bank, held in dealt.items()}
            self._noise_keys[piece] = noise_key(self.ceremony, piece, seeds)
        return self._noise_keys[piece]

    def _require(self, pieces: Sequence[int]) -> dict[bytes, DealtPieces]:
        if self._pieces is None:
            raise KeyDestroyed("committee key", expected="a key in use", got="a destroyed one")
        foreign = set(pieces) - set(self.held)
        if foreign or len(set(pieces)) != len(pieces):
            raise NotHeld("share", expected=f"distinct pieces among {self.held}", got=str(tuple(pieces)))
        return self._pieces

    def _piece(self, dealt: DealtPieces, bank: bytes, piece: int) -> Residues:
        if piece == self.ceremony.parameters.pieces - 1:
            if dealt.last is None:
                raise NotHeld(f"piece {piece}", expected="the last piece's polynomial", got="none")
            return dealt.last
        return expand_piece(self.ceremony, bank, piece, dealt.seeds[piece])

    def to_bytes(self) -> bytes:
        """A fixed format, to be sealed in the key store: for every dealer in order its seeds, then its last piece."""
        dealt = self._require(())
        parts = [_MAGIC, self.ceremony.digest, self.member]
        for bank in self.ceremony.dealers:
            parts += [dealt[bank].seeds[piece] for piece in self.held]
            last = dealt[bank].last
            parts += [encode_last(last)] if last is not None else []
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, ceremony: Ceremony, member: bytes, data: bytes) -> CommitteeKey:
        """The inverse of `to_bytes`.

        Raises:
            MalformedMessage: of another ceremony or member, or another length.
        """
        head = _MAGIC + ceremony.digest + member
        spec = ceremony.parameters.spec
        held = pieces_of(spec.committee_size, spec.threshold, ceremony.member_index(member))
        last_size = 2 * RING_DEGREE * 8 if ceremony.parameters.pieces - 1 in held else 0
        each = len(held) * SEED_BYTES + last_size
        if not data.startswith(head) or len(data) != len(head) + each * len(ceremony.dealers):
            raise MalformedMessage("committee key", expected="one of this ceremony and member", got="another")
        pieces = {}
        for index, bank in enumerate(ceremony.dealers):
            part = data[len(head) + index * each : len(head) + (index + 1) * each]
            seeds = {piece: part[k * SEED_BYTES : (k + 1) * SEED_BYTES] for k, piece in enumerate(held)}
            last = decode_last(ceremony, index, part[len(held) * SEED_BYTES :]) if last_size else None
            pieces[bank] = DealtPieces(seeds, last)
        return cls(ceremony, member, pieces)

    def destroy(self) -> None:
        """Forgets every piece; polynomials are overwritten first (as far as Python can)."""
        for dealt in (self._pieces or {}).values():
            for residues in dealt.last or ():
                residues[:] = 0
            dealt.seeds.clear()
        self._noise_keys.clear()
        self._pieces = None


class CommitteeKeyBuilder:
    """Collects the dealers' pieces for one member, in any order."""

    def __init__(self, ceremony: Ceremony, member: bytes, sealing_key: SealingKey) -> None:
        self._ceremony, self._member, self._sealing_key = ceremony, member, sealing_key
        self._pieces: dict[bytes, DealtPieces] = {}

    def receive(self, dealer: bytes, commitments: bytes, sealed: bytes) -> None:
        """Opens and checks one dealer's sealed pieces.

        Raises:
            DealInvalid: they must not be used; see `open_deal`.
        """
        self._pieces[dealer] = open_deal(self._ceremony, dealer, self._member, self._sealing_key, commitments, sealed)

    def finish(self) -> CommitteeKey:
        """The member's key.

        Raises:
            DealInvalid: a dealer's pieces are missing.
        """
        for index, dealer in enumerate(self._ceremony.dealers):
            if dealer not in self._pieces:
                raise DealInvalid("key ceremony", expected="every dealer's pieces", got="none of one", dealer=index)
        return CommitteeKey(self._ceremony, self._member, self._pieces)
