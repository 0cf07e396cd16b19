"""A secure sum through crypto's two doors, with no network: python -m examples.secure_sum."""

import os

import numpy as np

import crypto
from crypto.member import Ceremony, CommitteeKeyBuilder, Decryptor, Encryptor, SealingKey, SecretKey, deal


def main() -> None:
    """Three banks add vectors that nobody else sees; any two of them open the sum, and nothing but the sum."""
    parameters = crypto.derive(crypto.ParameterSpec(sum_bits=44, max_contributors=3, committee_size=3, threshold=2))
    banks = tuple(sorted(os.urandom(16) for _ in range(3)))
    ceremony = Ceremony(parameters, os.urandom(16), banks, banks)
    secrets = {bank: SecretKey.generate(parameters) for bank in banks}
    sealing = {bank: SealingKey.generate() for bank in banks}
    public = {bank: key.public_bytes for bank, key in sealing.items()}
    builders = {bank: CommitteeKeyBuilder(ceremony, bank, sealing[bank]) for bank in banks}
    for dealer in banks:  # each bank cuts its key into sealed pieces for the committee
        dealt = deal(ceremony, dealer, secrets[dealer], public)
        for member, builder in builders.items():
            builder.receive(dealer, dealt.commitments, dealt.sealed[member])
    vectors = {bank: np.random.default_rng(k).integers(-(10**6), 10**6, 5000) for k, bank in enumerate(banks)}
    round_id = crypto.RoundId(parameters, ceremony.training, 1, 5000)
    first, size = round_id.byte_range(0, round_id.chunks)
    sent = [Encryptor(ceremony, bank, secrets[bank]).encrypt(round_id, vectors[bank]) for bank in banks]
    summed = crypto.sum_chunks(round_id, 0, round_id.chunks, [memoryview(c)[first : first + size] for c in sent])
    shares = []
    for seat, pieces in crypto.assign(3, 2, available=(0, 2)).items():  # the second member is away
        key = builders[banks[seat]].finish()
        share = Decryptor(ceremony, banks[seat], key).share(round_id, banks, pieces)
        shares.append(memoryview(share)[first : first + size])
    opened = crypto.combine_chunks(round_id, 0, round_id.chunks, summed, shares, len(banks))
    print(f"{len(sent[0])} bytes a contribution; exact: {np.array_equal(opened, sum(vectors.values()))}")


if __name__ == "__main__":
    main()
