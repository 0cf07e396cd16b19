"""Reals ↔ fixed-point integers ↔ coefficients.

The integers go into the coefficients of the plaintext polynomial, not into CKKS's slots: encoding is then exactly
linear, so that what is released is the sum and smudged noise and nothing else. The canonical embedding in doubles is
linear only up to rounding errors that depend on each bank's own numbers and are as large as the smudging noise
(docs/decisions/0003-coefficients-not-slots.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from crypto.errors import ValueOutOfBounds
from crypto.parameters import Parameters


def quantise(parameters: Parameters, reals: NDArray[np.float64], *, resolution: float) -> NDArray[np.int64]:
    """Rounds reals to multiples of the resolution, half to even.

    Args:
        parameters: the training's; |reals| must be at most 2^sum_bits · resolution.
        reals: float64, shape (n,), finite.
        resolution: a power of two.

    Returns:
        int64, shape (n,), in units of the resolution.

    Raises:
        ValueOutOfBounds: wrong shape or dtype, NaN, infinity, beyond the bound, or a resolution that is no power of 2.
    """
    if math.frexp(resolution)[0] != 0.5:
        raise ValueOutOfBounds("resolution", expected="a power of two", got=repr(resolution))
    if reals.ndim != 1 or reals.dtype != np.float64:
        raise ValueOutOfBounds("vector", expected="float64, one axis", got=f"{reals.dtype}, {reals.ndim} axes")
    if not np.isfinite(reals).all():
        index = int(np.argmin(np.isfinite(reals)))
        raise ValueOutOfBounds("vector", expected="finite values", got=f"NaN or infinity at index {index}")
    return require_bounded(parameters, np.rint(np.clip(reals / resolution, -(2.0**62), 2.0**62)).astype(np.int64))


def dequantise(values: NDArray[np.int64], *, resolution: float) -> NDArray[np.float64]:
    """The reals that fixed-point integers stand for; exact for sums below 2^53."""
    return values.astype(np.float64) * resolution


def require_bounded(parameters: Parameters, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same values, if each may be encrypted.

    Raises:
        ValueOutOfBounds: wrong dtype or shape, or an absolute value above 2^sum_bits.
    """
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueOutOfBounds("vector", expected="int64, one axis", got=f"{values.dtype}, {values.ndim} axes")
    limit = parameters.max_value
    if values.size and (int(values.max()) > limit or int(values.min()) < -limit):
        index = int(np.argmax((values > limit) | (values < -limit)))
        raise ValueOutOfBounds(
            "vector",
            expected=f"absolute values of at most 2^{parameters.spec.sum_bits}",
            got=f"a larger one at index {index}",
            advice="declare a larger bound for the query, or sum_bits for the plan",
        )
    return values
