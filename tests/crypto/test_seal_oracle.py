"""The oracle: SEAL's own Decryptor under Σ s_i opens the same sums, and SEAL's Evaluator.add adds the same residues."""

from __future__ import annotations

import numpy as np
import pytest

from crypto.common_polynomial import CommonPolynomial
from crypto.kernels import add_modular
from crypto.keystream import KeyStream, derive_key
from crypto.parameters import NOISE_ETA, RING_DEGREE
from crypto.ring import ring_of
from crypto.summation import unpack_chunk
from tests.common.seal_oracle import SealOracle
from tests.common.sums import Banks, body, integers, open_sum, total

CHUNKS = 2
VALUES = CHUNKS * (RING_DEGREE - 1)


def _key_sum(banks: Banks, contributors) -> np.ndarray:
    return sum(banks.secrets[bank].ternary().astype(np.int64) for bank in contributors)


@pytest.mark.parametrize(
    ("committee", "threshold", "count", "absent"), [(5, 3, 5, 0), (5, 4, 5, 1), (7, 5, 7, 3), (3, 3, 6, 1)]
)
def test_seal_opens_the_sum_of_the_bytes_that_were_sent(committee, threshold, count, absent):
    banks = Banks.meet(committee=committee, threshold=threshold, banks=count)
    contributors = banks.ids[: count - absent]
    round_id = banks.round(7, VALUES)
    vectors = {bank: integers(k, VALUES, 40) for k, bank in enumerate(contributors)}
    messages = banks.contribute(round_id, vectors)
    summed = total(round_id, list(messages.values()))
    ours = open_sum(round_id, summed, banks.shares(round_id, contributors, banks.assign()), len(contributors))

    parameters = banks.ceremony.parameters
    ring, oracle = ring_of(parameters), SealOracle(parameters, rescaled=True)
    common = CommonPolynomial(round_id)
    for chunk in range(CHUNKS):
        first = chunk * RING_DEGREE * parameters.residue_bytes
        sent = unpack_chunk(round_id, summed[first : first + RING_DEGREE * parameters.residue_bytes], chunk)
        a = common.chunk(chunk)
        for prime, residues in zip(ring.primes, a, strict=True):
            prime.to_coefficients(residues)
        halves = [sent, ring.rescale(a)]
        for half in halves:
            ring.primes[0].to_evaluations(half)
        opened = oracle.decrypt(oracle.ciphertext(*[[half] for half in halves]), _key_sum(banks, contributors))
        values = [round(coefficient / parameters.scale) for coefficient in opened]
        assert values[0] == len(contributors)
        low, high = round_id.value_range(chunk, 1)
        assert np.array_equal(np.array(values[1:]), ours[low:high])


def test_seal_opens_the_ciphertexts_before_rescaling_and_sees_the_noise_bound():
    banks = Banks.meet(committee=5, threshold=4)
    parameters = banks.ceremony.parameters
    ring, oracle = ring_of(parameters), SealOracle(parameters, rescaled=False)
    round_id = banks.round(0, RING_DEGREE - 1)
    scale = parameters.scale * parameters.q1
    plain = {bank: integers(k, RING_DEGREE, 41) for k, bank in enumerate(banks.ids)}
    sums = [np.zeros(RING_DEGREE, dtype=np.uint64) for _ in ring.primes]
    common = CommonPolynomial(round_id)
    for bank, message in plain.items():
        noise = KeyStream(derive_key(bank * 2, b"test"))
        zero = banks.encryptor(bank).encryption_of_zero(common, noise, 0, RING_DEGREE)
        for prime, into, residues in zip(ring.primes, sums, zero, strict=True):
            encoded = np.array([int(v) * scale % prime.prime for v in message], dtype=np.uint64)
            add_modular(into, residues, prime.p)
            add_modular(into, encoded, prime.p)
    for prime, residues in zip(ring.primes, sums, strict=True):
        prime.to_evaluations(residues)
    opened = oracle.decrypt(oracle.ciphertext(sums, common.chunk(0)), _key_sum(banks, banks.ids))
    expected = sum(plain.values())
    residual = [y - int(v) * scale for y, v in zip(opened, expected, strict=True)]
    assert 0 < max(abs(e) for e in residual) <= NOISE_ETA * len(banks.ids)


def test_the_workers_sum_is_seals_evaluator_add_bit_for_bit():
    banks = Banks.meet(committee=4, threshold=3)
    round_id = banks.round(1, VALUES)
    messages = banks.contribute(round_id, {bank: integers(k, VALUES, 41) for k, bank in enumerate(banks.ids)})
    parameters = banks.ceremony.parameters
    oracle = SealOracle(parameters, rescaled=True)
    summed = total(round_id, list(messages.values()))
    size = RING_DEGREE * parameters.residue_bytes
    zero = np.ones(RING_DEGREE, dtype=np.uint64)  # SEAL refuses ciphertexts whose second polynomial is zero
    for chunk in range(CHUNKS):
        part = slice(chunk * size, (chunk + 1) * size)
        loaded = [
            oracle.ciphertext([unpack_chunk(round_id, body(round_id, message)[part], chunk)], [zero])
            for message in messages.values()
        ]
        seals = loaded[0]
        for more in loaded[1:]:
            seals = oracle.add(seals, more)
        assert np.array_equal(oracle.residues(seals)[0][0], unpack_chunk(round_id, summed[part], chunk))
