"""The one module that touches TenSEAL: SEAL's security check and SEAL's key generator, over `tenseal.sealapi`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crypto.errors import ParameterError
from crypto.parameters import RING_DEGREE, SPECIAL_PRIME_BITS, Parameters
from crypto.primes import ntt_prime
from crypto.ring import ring_of


def special_prime(parameters: Parameters) -> int:
    """SEAL's prime for key switching, which no ciphertext of ours uses."""
    del parameters
    return ntt_prime(SPECIAL_PRIME_BITS, RING_DEGREE)


@lru_cache(maxsize=8)
def seal_context(parameters: Parameters) -> Any:
    """SEAL's context for these parameters at its 192-bit security level.

    Raises:
        ParameterError: SEAL's check does not pass, in SEAL's words.
    """
    # TenSEAL takes a quarter of a second and 20 MB to import; the server never needs it.
    from tenseal import sealapi  # noqa: PLC0415

    chosen = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    chosen.set_poly_modulus_degree(RING_DEGREE)
    primes = (parameters.q0, parameters.q1, special_prime(parameters))
    chosen.set_coeff_modulus([sealapi.Modulus(prime) for prime in primes])
    context = sealapi.SEALContext(chosen, True, sealapi.SEC_LEVEL_TYPE.TC192)
    if not context.parameters_set():
        raise ParameterError(
            "parameters", expected="SEAL's check at 192 bits to pass", got=context.parameters_error_message()
        )
    return context


def new_ternary(parameters: Parameters) -> NDArray[np.int8]:
    """A fresh secret from SEAL's key generator: coefficients uniform in {−1, 0, 1}, int8, shape (N,).

    Raises:
        ParameterError: SEAL refuses the parameters.
    """
    from tenseal import sealapi  # noqa: PLC0415

    # The binding does not keep the owner of `data()` alive: hold it.
    owner = sealapi.KeyGenerator(seal_context(parameters)).secret_key()
    key = owner.data()
    # The key is in evaluation form modulo each prime, q0's first.
    residues = np.fromiter((key[j] for j in range(RING_DEGREE)), dtype=np.uint64, count=RING_DEGREE)
    prime = ring_of(parameters).primes[0]
    prime.to_coefficients(residues)
    ternary = np.where(residues == prime.p - np.uint64(1), -1, residues.astype(np.int64)).astype(np.int8)
    residues[:] = 0
    if np.abs(ternary).max() > 1:
        raise ParameterError("secret key", expected="coefficients in {-1, 0, 1}", got="others")
    return ternary
