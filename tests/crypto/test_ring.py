"""The inverse NTT of a few coefficients gives those of the whole one."""

import numpy as np
import pytest

from crypto.parameters import RING_DEGREE, ParameterSpec, derive
from crypto.ring import ring_of, ring_prime

PARAMETERS = derive(ParameterSpec(sum_bits=44, max_contributors=5, committee_size=5, threshold=4, smudging_bits=40))
COUNTS = [1, 2, 3, 7, 8, 9, 1000, RING_DEGREE // 2 - 1, RING_DEGREE // 2, RING_DEGREE // 2 + 1, RING_DEGREE]


@pytest.mark.parametrize("count", COUNTS)
def test_the_first_coefficients_are_those_of_the_whole_transform(count):
    rng = np.random.default_rng(count)
    for prime in ring_of(PARAMETERS).primes:
        coefficients = rng.integers(0, prime.prime, RING_DEGREE, dtype=np.uint64)
        evaluations = coefficients.copy()
        prime.to_evaluations(evaluations)
        whole, some = evaluations.copy(), evaluations
        prime.to_coefficients(whole)
        prime.to_coefficients(some, count)
        assert np.array_equal(whole, coefficients)
        assert np.array_equal(some[:count], coefficients[:count])


@pytest.mark.parametrize("degree", [8, 16, 32])
def test_every_count_of_a_small_ring(degree):
    prime = ring_prime(PARAMETERS.q0, degree)
    for count in range(1, degree + 1):
        # The largest values that lazy reduction meets.
        for coefficients in (np.full(degree, prime.prime - 1, dtype=np.uint64), np.arange(degree, dtype=np.uint64)):
            evaluations = coefficients.copy()
            prime.to_evaluations(evaluations)
            prime.to_coefficients(evaluations, count)
            assert np.array_equal(evaluations[:count], coefficients[:count])


def test_the_constants_of_fixed_factors_are_the_quotients_that_they_stand_for():
    rng = np.random.default_rng(7)
    for prime in ring_of(PARAMETERS).primes:
        factors = np.concatenate([[0, 1, prime.prime - 1], rng.integers(0, prime.prime, 500)]).astype(np.uint64)
        expected = [(int(factor) << 64) // prime.prime for factor in factors]
        assert prime.shoup_table(factors).tolist() == expected


def test_a_ring_of_less_than_eight_coefficients_is_refused():
    with pytest.raises(ValueError, match="at least 8 coefficients, got 4"):
        ring_prime(PARAMETERS.q0, 4)
