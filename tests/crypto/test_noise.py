"""The two noises: of the stated variance, in the message however well it is known, and hiding what they must hide."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import crypto
from crypto.common_polynomial import CommonPolynomial
from crypto.keystream import KeyStream, derive_key
from crypto.noise import SmudgingSum, fresh_noise
from crypto.parameters import NOISE_ETA, RING_DEGREE
from crypto.ring import ring_of
from crypto.summation import unpack_chunk
from tests.common.sums import Banks, body, total


def stream(seed: int) -> KeyStream:
    return KeyStream(derive_key(bytes([seed]) * 32, b"test"))


def test_fresh_noise_is_centred_binomial_of_variance_eta_over_two():
    noise = np.concatenate([fresh_noise(stream(1), chunk, RING_DEGREE) for chunk in range(100)])
    counts = np.bincount(noise + NOISE_ETA, minlength=2 * NOISE_ETA + 1)
    expected = stats.binom.pmf(np.arange(2 * NOISE_ETA + 1), 2 * NOISE_ETA, 0.5) * len(noise)
    wide = expected > 10
    assert np.abs(noise).max() <= NOISE_ETA
    assert stats.chisquare(counts[wide], expected[wide] * counts[wide].sum() / expected[wide].sum()).pvalue > 1e-4
    assert noise.var() == pytest.approx(NOISE_ETA / 2, rel=0.01)


@pytest.mark.parametrize("smudging_bits", [40, 64])
def test_smudging_noise_is_uniform_on_its_interval_and_sums_carry(smudging_bits):
    parameters = crypto.derive(crypto.ParameterSpec(20, 5, 5, 3, smudging_bits=smudging_bits))
    bound = 1 << parameters.smudging_exponent
    streams = [stream(7), stream(8), stream(9)]
    alone = []
    for one in streams:
        low, high = SmudgingSum(parameters, [one]).residues(3, RING_DEGREE)
        noise = low.astype(object) + (high.astype(object) << 64) - bound
        assert -bound <= noise.min() <= noise.max() < bound
        assert stats.kstest((noise.astype(np.float64) + bound) / (2.0 * bound), "uniform").pvalue > 1e-4
        alone.append(noise)
    together = SmudgingSum(parameters, streams)
    low, high = together.residues(3, RING_DEGREE)
    assert together.offset == 3 * bound
    assert (low.astype(object) + (high.astype(object) << 64) - together.offset == sum(alone)).all()


def test_noise_is_there_when_the_message_is_known():
    """The residual c + a·s − m is a non-zero integer of the right variance in both residues: no equation is exact."""
    banks = Banks.meet(committee=3, threshold=2)
    ring, bank = ring_of(banks.ceremony.parameters), banks.ids[0]
    common = CommonPolynomial(banks.round(0, RING_DEGREE - 1))
    residuals = []
    for chunk in range(8):
        zero = banks.encryptor(bank).encryption_of_zero(common, stream(3), chunk, RING_DEGREE)
        by_prime = []
        for prime, residues, a, key in zip(
            ring.primes, zero, common.chunk(chunk), banks.secrets[bank].evaluations(), strict=True
        ):
            product = (a.astype(object) * key.astype(object) % prime.prime).astype(np.uint64)
            prime.to_coefficients(product)
            residual = (residues.astype(object) + product.astype(object)) % prime.prime
            by_prime.append(np.where(residual > prime.prime // 2, residual - prime.prime, residual).astype(np.int64))
        assert np.array_equal(*by_prime)
        residuals.append(by_prime[0])
    residual = np.concatenate(residuals)
    assert residual.var() == pytest.approx(NOISE_ETA / 2, rel=0.05)
    assert (residual != 0).mean() > 0.8


def test_the_trap_noise_added_to_reals_is_rounded_away():
    """What must never be done: at a scale of 2^97 a double has no room for noise of 3, and the equation is exact."""
    scaled = np.random.default_rng(1).normal(size=1000) * 2.0**97
    noise = np.random.default_rng(2).normal(0, 3.2, 1000)
    assert np.array_equal(scaled + noise, scaled)


def residual_of_opened_sum(banks: Banks, number: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """y − Δ0·V of a sum of two vectors, with everything that is released."""
    round_id = banks.round(number, len(first))
    bank, other = banks.ids[:2]
    messages = banks.contribute(round_id, {bank: first, other: second})
    shares = banks.shares(round_id, [bank, other], banks.assign())
    summed = total(round_id, list(messages.values()))
    y = unpack_chunk(round_id, crypto.sum_chunks(round_id, 0, 1, [summed, *(body(round_id, s) for s in shares)]), 0)
    q0, scale = banks.ceremony.parameters.q0, banks.ceremony.parameters.scale
    exact = np.concatenate([[2], first + second]).astype(object) * scale
    residual = (y.astype(object) - exact) % q0
    return np.where(residual > q0 // 2, residual - q0, residual).astype(np.float64)


def test_an_opened_sum_shows_nothing_of_how_it_was_made_up():
    """Two pairs with the same sum, one of small numbers and one of large ones that cancel: the same residuals."""
    generator = np.random.default_rng(4)
    sums = generator.integers(-1000, 1000, RING_DEGREE - 1)
    large = generator.integers(-(1 << 42), 1 << 42, RING_DEGREE - 1)
    banks = Banks.meet(committee=3, threshold=2, banks=3)
    small_pair = residual_of_opened_sum(banks, 0, sums - 1, np.ones_like(sums))
    large_pair = residual_of_opened_sum(banks, 1, sums - large, large)
    assert np.abs(small_pair).max() <= banks.ceremony.parameters.error_limit
    assert small_pair.std() == pytest.approx(large_pair.std(), rel=0.05)
    assert stats.ks_2samp(small_pair, large_pair).pvalue > 1e-4


def test_a_float_embedding_tells_two_ways_to_the_same_sum_apart():
    """The canonical embedding in doubles is linear only up to rounding errors that depend on each bank's own numbers.

    With t − 1 members the server knows all of the noise but one piece's, which is uniform on [−B, B). It computes the
    rounding errors that either pair of vectors would cause: a coefficient that leaves the interval under one of the
    hypotheses refutes it. One in 2B / |error| coefficients does.
    """
    parameters = crypto.derive(crypto.ParameterSpec(44, 5, 5, 4))
    scale, bound = parameters.scale * parameters.q1, 1 << parameters.smudging_exponent
    generator = np.random.default_rng(4)
    conclusive = 0
    for _ in range(4):
        sums = generator.integers(-1000, 1000, RING_DEGREE)
        large = generator.integers(-(1 << 42), 1 << 42, RING_DEGREE)

        def errors(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            def embed(values: np.ndarray) -> list[int]:
                return [int(x) for x in np.rint(np.fft.ifft(values.astype(np.float64) * float(scale)).real)]

            ideal = embed(first + second)
            return np.array([x + y - z for x, y, z in zip(embed(first), embed(second), ideal, strict=True)])

        truth, lie = errors(sums - large, large), errors(sums - 1, np.ones_like(sums))
        released = truth + generator.integers(-bound, bound, RING_DEGREE)
        assert np.all((released - truth >= -bound) & (released - truth < bound))
        conclusive += int(np.sum((released - lie < -bound) | (released - lie >= bound)))
        # Our encoding is a multiplication by an integer: the same for both.
        exact = [
            (x.astype(object) * scale + y.astype(object) * scale) for x, y in ((sums - large, large), (sums, 0 * sums))
        ]
        assert (exact[0] == exact[1]).all()
    assert conclusive > 0


def test_the_statistical_distance_of_smudging_is_what_was_asked_for():
    for bits in (20, 40, 60):
        spec = crypto.ParameterSpec(20, 100, 5, 4, smudging_bits=bits)
        bound = 1 << crypto.derive(spec).smudging_exponent
        assert RING_DEGREE * NOISE_ETA * spec.max_contributors / (2 * bound) <= 2.0**-bits
