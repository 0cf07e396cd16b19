"""Secure sums in one process: every bank encrypts, ciphertexts are added, a committee's shares open the sum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import crypto
from crypto.member import Ceremony, CommitteeKeyBuilder, Decryptor, Encryptor, SealingKey, SecretKey, deal
from learning.query import Query
from protocol.aggregate import value_bytes
from protocol.roster import MAX_COMMITTEE


class CkksSum:
    """Threshold CKKS among banks of this process; a `learning.query.SecureSum`.

    Args:
        banks: how many there are; up to nine of them are the decryption committee, at the default threshold.

    Attributes:
        bytes_up: what all banks have sent so far: contributions and shares.
        bytes_down: what all banks have received: aggregates.
        rounds: sums so far.
    """

    def __init__(self, banks: int) -> None:
        committee = min(banks, MAX_COMMITTEE)
        spec = crypto.ParameterSpec(44, banks, committee, crypto.default_threshold(committee))
        parameters = crypto.derive(spec)
        ids = tuple(sorted(hashlib.sha256(f"bank {number}".encode()).digest()[:16] for number in range(banks)))
        self._ceremony = Ceremony(parameters, bytes(16), ids, ids[:committee])
        secrets = {bank: SecretKey.generate(parameters) for bank in ids}
        sealing = {member: SealingKey.generate() for member in ids[:committee]}
        public = {member: key.public_bytes for member, key in sealing.items()}
        dealt = {bank: deal(self._ceremony, bank, secrets[bank], public) for bank in ids}
        self._encryptors = [Encryptor(self._ceremony, bank, secrets[bank]) for bank in ids]
        self._decryptors: list[tuple[Decryptor, tuple[int, ...]]] = []
        for number, pieces in crypto.assign(committee, spec.threshold, available=range(committee)).items():
            member = ids[number]
            builder = CommitteeKeyBuilder(self._ceremony, member, sealing[member])
            for bank in ids:
                builder.receive(bank, dealt[bank].commitments, dealt[bank].sealed[member])
            self._decryptors.append((Decryptor(self._ceremony, member, builder.finish()), tuple(pieces)))
        self.bytes_up = self.bytes_down = self.rounds = 0

    def __call__(self, query: Query, contributions: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """The exact sum."""
        round_id = crypto.RoundId(self._ceremony.parameters, self._ceremony.training, self.rounds, query.length)
        sent = [
            encryptor.encrypt(round_id, vector)
            for encryptor, vector in zip(self._encryptors, contributions, strict=True)
        ]
        everyone = self._ceremony.dealers
        shares = [decryptor.share(round_id, everyone, pieces) for decryptor, pieces in self._decryptors]
        self.rounds += 1
        self.bytes_up += sum(map(len, sent)) + sum(map(len, shares))
        self.bytes_down += len(everyone) * query.length * value_bytes(query)
        offset, size = round_id.byte_range(0, round_id.chunks)
        bodies = [memoryview(message)[offset : offset + size] for message in sent]
        total = crypto.sum_chunks(round_id, 0, round_id.chunks, bodies)
        opened = [memoryview(share)[offset : offset + size] for share in shares]
        return crypto.combine_chunks(round_id, 0, round_id.chunks, total, opened, len(everyone))
