"""The two noises, in integers only: added to polynomials of R_q, never to reals before they are encoded.

A double has 53 bits where the scaled message has about 100: noise added before encoding would be rounded away, and with
a known message the ciphertext becomes noise-free linear equations in the key.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from crypto import kernels
from crypto.keystream import KeyStream
from crypto.parameters import NOISE_ETA, Parameters

_NO_TOPS = np.empty(0, dtype=np.uint32)
_TOP_STREAMS = 1 << 63


def fresh_noise(stream: KeyStream, number: int, count: int) -> NDArray[np.int64]:
    """Centred binomial noise with η = 21 (Alkim et al., "Post-quantum key exchange", 2016): variance η/2 = 10.5.

    Args:
        stream: keyed from the operating system's randomness, used for one contribution only.
        number: the chunk.
        count: coefficients.

    Returns:
        int64, shape (count,), absolute values of at most η.
    """
    out = np.empty(count, dtype=np.int64)
    kernels.centred_binomial(stream.words(number, count), NOISE_ETA, out)
    return out


class SmudgingSum:
    """Σ_A e_A over the pieces of one share, as unsigned sums of up to 128 bits: e_A + B is uniform on [0, 2B).

    Derived from the pieces' keys, so that every holder of a piece adds the same e_A, however often it is asked.
    """

    def __init__(self, parameters: Parameters, streams: Iterable[KeyStream]) -> None:
        self._parameters = parameters
        self._streams = tuple(streams)

    def residues(self, number: int, count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(low, high) words of Σ (e_A + B) for one chunk, shape (count,) each; see `offset`."""
        bits = self._parameters.smudging_exponent + 1
        low, high = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
        mask_low = np.uint64((1 << min(bits, 64)) - 1)
        mask_top = np.uint64((1 << max(0, bits - 64)) - 1)
        for stream in self._streams:
            tops = stream.bytes(_TOP_STREAMS + number, 4 * count).view("<u4") if bits > 64 else _NO_TOPS
            kernels.accumulate_wide(stream.words(number, count), tops, mask_low, mask_top, low, high)
        return low, high

    @property
    def offset(self) -> int:
        """B times the number of pieces: what to subtract from the sums."""
        return len(self._streams) << self._parameters.smudging_exponent
