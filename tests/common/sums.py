"""A consortium of arrays for tests: a real key ceremony, contributions, shares and sums, all in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

import crypto
from crypto.member import Ceremony, CommitteeKey, CommitteeKeyBuilder, Decryptor, Encryptor, SealingKey, SecretKey, deal


def identifier(text: str) -> bytes:
    """Sixteen bytes named by a text."""
    return hashlib.sha256(text.encode()).digest()[:16]


@dataclass
class Banks:
    """Banks that have been through a key ceremony."""

    ceremony: Ceremony
    secrets: dict[bytes, SecretKey]
    committee_keys: dict[bytes, CommitteeKey]
    encryptors: dict[bytes, Encryptor] = field(default_factory=dict)

    @classmethod
    def meet(
        cls, *, committee: int, threshold: int, banks: int | None = None, sum_bits: int = 44, smudging_bits: int = 40,
        training: str = "training", attempt: int = 0,
    ) -> Banks:  # fmt: skip
        count = committee if banks is None else banks
        parameters = crypto.derive(
            crypto.ParameterSpec(sum_bits, max(2, count), committee, threshold, smudging_bits=smudging_bits)
        )
        ids = tuple(sorted(identifier(f"bank {k}") for k in range(count)))
        ceremony = Ceremony(parameters, identifier(training), ids, ids[:committee], attempt)
        sealing = {member: SealingKey.generate() for member in ceremony.committee}
        secrets = {bank: SecretKey.generate(parameters) for bank in ids}
        public = {member: key.public_bytes for member, key in sealing.items()}
        dealt = {bank: deal(ceremony, bank, secrets[bank], public) for bank in ids}
        keys = {}
        for member in ceremony.committee:
            builder = CommitteeKeyBuilder(ceremony, member, sealing[member])
            for bank in ids:
                builder.receive(bank, dealt[bank].commitments, dealt[bank].sealed[member])
            keys[member] = builder.finish()
        return cls(ceremony, secrets, keys)

    @property
    def ids(self) -> tuple[bytes, ...]:
        return self.ceremony.dealers

    @property
    def spec(self) -> crypto.ParameterSpec:
        return self.ceremony.parameters.spec

    def round(self, number: int, values: int) -> crypto.RoundId:
        return crypto.RoundId(self.ceremony.parameters, self.ceremony.training, number, values)

    def encryptor(self, bank: bytes) -> Encryptor:
        if bank not in self.encryptors:
            self.encryptors[bank] = Encryptor(self.ceremony, bank, self.secrets[bank])
        return self.encryptors[bank]

    def contribute(self, round_id: crypto.RoundId, vectors: Mapping[bytes, NDArray[np.int64]]) -> dict[bytes, bytes]:
        return {bank: self.encryptor(bank).encrypt(round_id, vector) for bank, vector in vectors.items()}

    def share(
        self, round_id: crypto.RoundId, member: int, contributors: Sequence[bytes], pieces: Sequence[int]
    ) -> bytes:
        identity = self.ceremony.committee[member]
        return Decryptor(self.ceremony, identity, self.committee_keys[identity]).share(round_id, contributors, pieces)

    def shares(
        self, round_id: crypto.RoundId, contributors: Sequence[bytes], assignment: Mapping[int, Sequence[int]]
    ) -> list[bytes]:
        crypto.check_coverage(self.ceremony.parameters, list(assignment.values()))
        return [self.share(round_id, member, contributors, pieces) for member, pieces in assignment.items()]

    def assign(self, available: Sequence[int] | None = None) -> dict[int, tuple[int, ...]]:
        members = range(self.spec.committee_size) if available is None else available
        return crypto.assign(self.spec.committee_size, self.spec.threshold, available=members)


def body(round_id: crypto.RoundId, message: bytes) -> memoryview:
    """A message without its header."""
    offset, size = round_id.byte_range(0, round_id.chunks)
    return memoryview(message)[offset : offset + size]


def total(round_id: crypto.RoundId, messages: Sequence[bytes]) -> bytes:
    """The workers' sum of whole messages."""
    return crypto.sum_chunks(round_id, 0, round_id.chunks, [body(round_id, message) for message in messages])


def open_sum(round_id: crypto.RoundId, summed: bytes, shares: Sequence[bytes], contributors: int) -> NDArray[np.int64]:
    """Combines whole shares."""
    bodies = [body(round_id, share) for share in shares]
    return crypto.combine_chunks(round_id, 0, round_id.chunks, summed, bodies, contributors)


def integers(seed: int, values: int, bits: int) -> NDArray[np.int64]:
    """Values of at most 2^bits in absolute value."""
    return np.random.default_rng(seed).integers(-(1 << bits), (1 << bits) + 1, values)
