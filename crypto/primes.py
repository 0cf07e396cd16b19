"""NTT primes: p ≡ 1 (mod 2N), so that Z_p has a primitive 2N-th root of unity."""

from __future__ import annotations

from functools import lru_cache

from crypto.errors import ParameterError

# Deterministic for n < 3.3e24 (Sorenson and Webster, "Strong pseudoprimes to twelve prime bases", 2015).
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def is_prime(n: int) -> bool:
    """Miller-Rabin with witnesses that decide every n below 3.3e24."""
    if n < 2:
        return False
    for p in _WITNESSES:
        if n % p == 0:
            return n == p
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for a in _WITNESSES:
        x = pow(a, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


@lru_cache(maxsize=64)
def ntt_prime(bits: int, degree: int, *, skip: int = 0) -> int:
    """The largest prime of so many bits that is 1 modulo 2·degree, or the `skip`-th after it.

    The same choice as SEAL's ``CoeffModulus.Create`` makes for one prime of each width.

    Raises:
        ParameterError: there is none.
    """
    step = 2 * degree
    candidate = ((1 << bits) // step) * step + 1
    while candidate >= 1 << (bits - 1):
        if candidate < 1 << bits and is_prime(candidate):
            if skip == 0:
                return candidate
            skip -= 1
        candidate -= step
    raise ParameterError("prime", expected=f"an NTT prime of {bits} bits for degree {degree}", got="none")


@lru_cache(maxsize=64)
def minimal_primitive_root(prime: int, order: int) -> int:
    """The smallest primitive `order`-th root of unity modulo `prime`; `order` is a power of two.

    SEAL takes the smallest too, so that both number the NTT's slots alike.
    """
    exponent = (prime - 1) // order
    root = next(r for g in range(2, prime) if pow(r := pow(g, exponent, prime), order // 2, prime) == prime - 1)
    # All primitive roots are the odd powers of one.
    square, power, smallest = root * root % prime, root, root
    for _ in range(order // 2):
        smallest = min(smallest, power)
        power = power * square % prime
    return smallest
