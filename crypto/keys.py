"""A bank's secret key for one training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crypto.errors import KeyDestroyed, MalformedMessage
from crypto.parameters import RING_DEGREE, Parameters
from crypto.ring import Polynomial, ring_of
from crypto.seal import new_ternary


class SecretKey:
    """s_i: a polynomial with ternary coefficients. Made for one training, destroyed when it ends; never printed."""

    def __init__(self, parameters: Parameters, ternary: NDArray[np.int8]) -> None:
        self.parameters = parameters
        self._ternary: NDArray[np.int8] | None = ternary

    @classmethod
    def generate(cls, parameters: Parameters) -> SecretKey:
        """A fresh key from SEAL's key generator.

        Raises:
            ParameterError: SEAL's security check refuses the parameters.
        """
        return cls(parameters, new_ternary(parameters))

    def __repr__(self) -> str:
        return "SecretKey(…)"

    def ternary(self) -> NDArray[np.int8]:
        """The coefficients, int8, shape (N,).

        Raises:
            KeyDestroyed: it was destroyed.
        """
        if self._ternary is None:
            raise KeyDestroyed("secret key", expected="a key in use", got="a destroyed one")
        return self._ternary

    def evaluations(self) -> tuple[Polynomial, Polynomial]:
        """The key in evaluation form modulo q0 and q1."""
        wide = self.ternary().astype(np.int64)
        residues = []
        for prime in ring_of(self.parameters).primes:
            residue = prime.reduce_small(wide)
            prime.to_evaluations(residue)
            residues.append(residue)
        return residues[0], residues[1]

    def to_bytes(self) -> bytes:
        """N bytes, one a coefficient; to be sealed in the key store."""
        return self.ternary().tobytes()

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> SecretKey:
        """The inverse of `to_bytes`.

        Raises:
            MalformedMessage: not N bytes, or not ternary.
        """
        ternary = np.frombuffer(data, dtype=np.int8)
        if ternary.shape != (RING_DEGREE,) or np.abs(ternary.astype(np.int16)).max() > 1:
            raise MalformedMessage("secret key", expected=f"{RING_DEGREE} ternary coefficients", got="others")
        return cls(parameters, ternary.copy())

    def destroy(self) -> None:
        """Overwrites the key in memory (as far as Python can) and forgets it."""
        if self._ternary is not None:
            self._ternary[:] = 0
            self._ternary = None
