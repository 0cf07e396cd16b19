"""R_p = Z_p[X]/(X^N + 1) for one NTT prime: its tables, and the few operations that the scheme needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crypto import kernels
from crypto.parameters import RING_DEGREE, Parameters
from crypto.primes import minimal_primitive_root

#: uint64, shape (N,), each below the prime. Coefficients, or evaluations in SEAL's (bit-reversed) order.
Polynomial = NDArray[np.uint64]


def shoup(factor: int, p: int) -> np.uint64:
    """Shoup's constant ⌊factor·2^64 / p⌋ of a fixed factor below p."""
    return np.uint64((factor << 64) // p)


class RingPrime:
    """One prime of the modulus with its NTT tables; shared, never changed.

    Attributes:
        p: the prime, uint64.
        ratio: ⌊2^64 / p⌋.
    """

    def __init__(self, prime: int, degree: int) -> None:
        if degree < kernels.LEAST_DEGREE:
            raise ValueError(f"ring: expected at least {kernels.LEAST_DEGREE} coefficients, got {degree}")
        self.prime = prime
        self.p = np.uint64(prime)
        self.ratio = np.uint64((1 << 64) // prime)
        root = minimal_primitive_root(prime, 2 * degree)
        self._forward = _root_tables(root, prime, degree)
        self._inverse = _root_tables(pow(root, -1, prime), prime, degree)
        n_inverse = pow(degree, -1, prime)
        self._n_inverse = np.uint64(n_inverse), shoup(n_inverse, prime)
        self.two_64 = np.uint64((1 << 64) % prime), shoup((1 << 64) % prime, prime)

    def to_evaluations(self, coefficients: Polynomial) -> None:
        """The forward NTT, in place."""
        kernels.forward_ntt(coefficients, *self._forward, self.p)

    def to_coefficients(self, evaluations: Polynomial, count: int = RING_DEGREE) -> None:
        """The inverse NTT, in place.

        Args:
            evaluations: uint64, shape (N,).
            count: how many of the first coefficients are wanted; behind them nothing of use is left.
        """
        kernels.inverse_ntt(evaluations, min(count, len(evaluations)), *self._inverse, *self._n_inverse, self.p)

    def shoup_table(self, factors: Polynomial) -> Polynomial:
        """Shoup's constants of N fixed factors: 16 bytes a coefficient, computed once a key."""
        out = np.empty_like(factors)
        kernels.shoup_constants(factors, self.p, out)
        return out

    def reduce_small(self, values: NDArray[np.int64]) -> Polynomial:
        """Small signed integers (|x| < p) as residues."""
        out = np.zeros(len(values), dtype=np.uint64)
        kernels.add_small(out, values, self.p)
        return out


def _root_tables(root: int, prime: int, degree: int) -> tuple[Polynomial, Polynomial]:
    """Powers of a root in bit-reversed order, and their Shoup constants."""
    bits = degree.bit_length() - 1
    powers = np.zeros(degree, dtype=np.uint64)
    constants = np.zeros(degree, dtype=np.uint64)
    power = 1
    for exponent in range(degree):
        index = int(f"{exponent:0{bits}b}"[::-1], 2)
        powers[index] = power
        constants[index] = (power << 64) // prime
        power = power * root % prime
    powers.setflags(write=False)
    constants.setflags(write=False)
    return powers, constants


@lru_cache(maxsize=16)
def ring_prime(prime: int, degree: int = RING_DEGREE) -> RingPrime:
    """The tables for a prime, made once a process."""
    return RingPrime(prime, degree)


class Ring:
    """R_q with q = q0·q1, and its rescaling to R_{q0}."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.primes = (ring_prime(parameters.q0), ring_prime(parameters.q1))
        inverse = pow(parameters.q1, -1, parameters.q0)
        self._q1_inverse = np.uint64(inverse), shoup(inverse, parameters.q0)

    def rescale(self, residues: tuple[Polynomial, Polynomial]) -> Polynomial:
        """⌊c / q1⌉ mod q0, from coefficients modulo q0 and q1."""
        first, second = self.primes
        out = np.empty(len(residues[0]), dtype=np.uint64)
        kernels.rescale(residues[0], residues[1], first.p, second.p, first.ratio, *self._q1_inverse, out)
        return out


@lru_cache(maxsize=16)
def ring_of(parameters: Parameters) -> Ring:
    """The ring of some parameters, made once a process."""
    return Ring(parameters)
