"""a = Expand(training, round, chunk): the polynomial that everyone derives and nobody sends."""

from __future__ import annotations

import struct

from crypto.keystream import KeyStream, derive_key
from crypto.parameters import RING_DEGREE
from crypto.ring import Polynomial, ring_of
from crypto.wire import RoundId


class CommonPolynomial:
    """The common random polynomials of one round, in evaluation form modulo both primes.

    Uniform in R_q by rejection from a keyed stream whose key is a public digest of parameters, training and round: a
    random oracle's answer (Micciancio and Peikert, Eurocrypt 2012, use A the same way), so that no party chooses it.
    """

    def __init__(self, round_id: RoundId) -> None:
        parameters = round_id.parameters
        self._primes = ring_of(parameters).primes
        context = (parameters.id, round_id.training, struct.pack(">I", round_id.round))
        self._stream = KeyStream(derive_key(bytes(32), b"common-polynomial", *context))

    def chunk(self, number: int) -> tuple[Polynomial, Polynomial]:
        """A for one chunk: modulo q0 and modulo q1, uint64, shape (N,) each."""
        first, second = self._primes
        return (
            self._stream.uniform(2 * number, first, RING_DEGREE),
            self._stream.uniform(2 * number + 1, second, RING_DEGREE),
        )
