"""The arithmetic in Z_p that runs over every coefficient, compiled by Numba; all of it releases the GIL.

Moduli are below 2^61, words are uint64. Products modulo p use Shoup's constants (w' = ⌊w·2^64/p⌋) where one factor is
fixed, and Barrett's reduction with the high half of a product elsewhere; the NTT is Harvey's ("Faster arithmetic for
number-theoretic transforms", 2014), in the order of Longa and Naehrig (CANS 2016), which is SEAL's.
"""

from __future__ import annotations

from typing import Any

import numba as nb
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

jit: Any = nb.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
inline: Any = nb.njit(nogil=True, cache=True, boundscheck=False, error_model="numpy", inline="always")

#: The inverse transform takes its first three layers in blocks of eight.
LEAST_DEGREE = 8

_ONE, _TWO = nb.uint64(1), nb.uint64(2)


def _mulhi(_context: Any, a: Any, b: Any) -> Any:
    """The high 64 bits of the product of two uint64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        left, right = (builder.zext(argument, wide) for argument in arguments)
        product = builder.mul(left, right)
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


mulhi: Any = intrinsic(_mulhi)


@inline
def multiply_shoup_lazy(x, w, w_shoup, p):  # type: ignore[no-untyped-def]
    """x·w mod p, in [0, 2p), for any x."""
    return x * w - mulhi(x, w_shoup) * p


@inline
def reduce_once(x, p):  # type: ignore[no-untyped-def]
    """X mod p for x < 2p."""
    return min(x, x - p)


@inline
def reduce_word(x, p, ratio):  # type: ignore[no-untyped-def]
    """X mod p for any uint64 x, with ratio = ⌊2^64 / p⌋ (Barrett)."""
    return reduce_once(x - mulhi(x, ratio) * p, p)


@inline
def _inverse_butterfly(u, v, w, w_shoup, p):  # type: ignore[no-untyped-def]
    """(u + v, (u − v)·w), all in [0, 2p)."""
    two_p = p * _TWO
    return min(u + v, u + v - two_p), multiply_shoup_lazy(u + two_p - v, w, w_shoup, p)


@jit
def _inverse_layer(left, right, w, w_shoup, p):  # type: ignore[no-untyped-def]
    """The butterflies of one block: as two arrays they are seen not to overlap, and run eight at a time."""
    for j in range(left.shape[0]):
        left[j], right[j] = _inverse_butterfly(left[j], right[j], w, w_shoup, p)


@jit
def _first_layers(values, roots, roots_shoup, p):  # type: ignore[no-untyped-def]
    """The three layers within blocks of eight, a block at a time: theirs are too short for `_inverse_layer`."""
    n = values.shape[0]
    w1, s1 = roots[n >> 1 :], roots_shoup[n >> 1 :]
    w2, s2 = roots[n >> 2 : n >> 1], roots_shoup[n >> 2 : n >> 1]
    w4, s4 = roots[n >> 3 : n >> 2], roots_shoup[n >> 3 : n >> 2]
    for b in range(n >> 3):
        x = values[8 * b : 8 * b + 8]
        x0, x1 = _inverse_butterfly(x[0], x[1], w1[4 * b], s1[4 * b], p)
        x2, x3 = _inverse_butterfly(x[2], x[3], w1[4 * b + 1], s1[4 * b + 1], p)
        x4, x5 = _inverse_butterfly(x[4], x[5], w1[4 * b + 2], s1[4 * b + 2], p)
        x6, x7 = _inverse_butterfly(x[6], x[7], w1[4 * b + 3], s1[4 * b + 3], p)
        x0, x2 = _inverse_butterfly(x0, x2, w2[2 * b], s2[2 * b], p)
        x1, x3 = _inverse_butterfly(x1, x3, w2[2 * b], s2[2 * b], p)
        x4, x6 = _inverse_butterfly(x4, x6, w2[2 * b + 1], s2[2 * b + 1], p)
        x5, x7 = _inverse_butterfly(x5, x7, w2[2 * b + 1], s2[2 * b + 1], p)
        x[0], x[4] = _inverse_butterfly(x0, x4, w4[b], s4[b], p)
        x[1], x[5] = _inverse_butterfly(x1, x5, w4[b], s4[b], p)
        x[2], x[6] = _inverse_butterfly(x2, x6, w4[b], s4[b], p)
        x[3], x[7] = _inverse_butterfly(x3, x7, w4[b], s4[b], p)


@jit
def inverse_ntt(values, count, roots, roots_shoup, n_inverse, n_inverse_shoup, p):  # type: ignore[no-untyped-def]
    """In place: evaluations in bit-reversed order → the first coefficients, modulo X^N + 1 and p.

    The first `count` outputs of a butterfly's block are sums of the first of its two halves, so that once a half is as
    long as `count` neither the rest nor a multiplication is needed:

        half:   [count|  ……  ][count|  ……  ]   →   [count|  never read  ]

    Args:
        values: uint64, shape (N,), N at least 8, below p; behind the first `count` nothing of use is left.
        count: how many coefficients are wanted, 1 to N.
        roots: uint64, shape (N,), inverse powers of the root in bit-reversed order.
        roots_shoup: their Shoup constants.
        n_inverse: N^-1 mod p.
        n_inverse_shoup: its Shoup constant.
        p: the prime.
    """
    two_p = p * _TWO
    _first_layers(values, roots, roots_shoup, p)
    span = 8
    groups = values.shape[0] >> 4
    while groups >= 1:
        for group in range(groups):
            start = 2 * span * group
            left, right = values[start : start + span], values[start + span : start + 2 * span]
            if count <= span:
                for j in range(count):
                    total = left[j] + right[j]
                    left[j] = min(total, total - two_p)
            else:
                _inverse_layer(left, right, roots[groups + group], roots_shoup[groups + group], p)
        span <<= 1
        groups >>= 1
    for j in range(count):
        values[j] = reduce_once(multiply_shoup_lazy(values[j], n_inverse, n_inverse_shoup, p), p)


@jit
def forward_ntt(values, roots, roots_shoup, p):  # type: ignore[no-untyped-def]
    """In place: coefficients → evaluations in bit-reversed order; the inverse of `inverse_ntt`."""
    n = values.shape[0]
    two_p = p * _TWO
    groups = 1
    span = n >> 1
    while span >= 1:
        start = 0
        for group in range(groups):
            w = roots[groups + group]
            w_shoup = roots_shoup[groups + group]
            for j in range(start, start + span):
                u = min(values[j], values[j] - two_p)
                v = multiply_shoup_lazy(values[j + span], w, w_shoup, p)
                values[j] = u + v
                values[j + span] = u + two_p - v
            start += 2 * span
        groups <<= 1
        span >>= 1
    for j in range(n):
        x = min(values[j], values[j] - two_p)
        values[j] = reduce_once(x, p)


@jit
def shoup_constants(factors, p, out):  # type: ignore[no-untyped-def]
    """⌊w·2^64 / p⌋ of factors w < p, by long division: the factors are a key's, and no branch tells them."""
    for j in range(factors.size):
        quotient, rest = nb.uint64(0), factors[j]
        for _ in range(64):
            rest += rest
            quotient += quotient + nb.uint64(rest >= p)
            rest = reduce_once(rest, p)
        out[j] = quotient


@jit
def multiply_shoup(a, w, w_shoup, p, out):  # type: ignore[no-untyped-def]
    """Out = a∘w mod p, elementwise, below p."""
    for j in range(a.shape[0]):
        out[j] = reduce_once(multiply_shoup_lazy(a[j], w[j], w_shoup[j], p), p)


@jit
def reduce_words(values, p, ratio):  # type: ignore[no-untyped-def]
    """Values mod p, elementwise, in place, for any uint64."""
    for j in range(values.shape[0]):
        values[j] = reduce_word(values[j], p, ratio)


@jit
def add_modular(total, x, p):  # type: ignore[no-untyped-def]
    """Total += x mod p, elementwise; both below p."""
    for j in range(total.shape[0]):
        total[j] = reduce_once(total[j] + x[j], p)


@jit
def subtract_modular(total, x, p):  # type: ignore[no-untyped-def]
    """Total −= x mod p, elementwise; both below p."""
    for j in range(total.shape[0]):
        total[j] = reduce_once(total[j] + (p - x[j]), p)


@jit
def reject(words, mask, p, out, filled):  # type: ignore[no-untyped-def]
    """Appends to out the words that are below p after masking; returns how many entries of out are filled."""
    for word in words:
        if filled == out.shape[0]:
            break
        x = word & mask
        if x < p:
            out[filled] = x
            filled += 1
    return filled


@inline
def _count(x):  # type: ignore[no-untyped-def]
    """How many of the low 32 bits are set."""
    x = x - ((x >> nb.uint64(1)) & nb.uint64(0x55555555))
    x = (x & nb.uint64(0x33333333)) + ((x >> nb.uint64(2)) & nb.uint64(0x33333333))
    x = (x + (x >> nb.uint64(4))) & nb.uint64(0x0F0F0F0F)
    return ((x * nb.uint64(0x01010101)) >> nb.uint64(24)) & nb.uint64(0xFF)


@jit
def centred_binomial(words, eta, out):  # type: ignore[no-untyped-def]
    """Out = popcount(η bits) − popcount(η other bits) of each word; int64; η ≤ 32."""
    mask = (_ONE << nb.uint64(eta)) - _ONE
    for j in range(out.shape[0]):
        x = words[j]
        out[j] = nb.int64(_count(x & mask)) - nb.int64(_count((x >> nb.uint64(32)) & mask))


@jit
def add_small(total, x, p):  # type: ignore[no-untyped-def]
    """Total += x mod p for int64 |x| < p; total below p."""
    for j in range(total.shape[0]):
        shifted = nb.uint64(x[j] + nb.int64(p)) if x[j] < 0 else nb.uint64(x[j])
        total[j] = reduce_once(total[j] + shifted, p)


@jit
def accumulate_wide(words, tops, mask_low, mask_top, low, high):  # type: ignore[no-untyped-def]
    """(high, low) += (tops & mask_top, words & mask_low), elementwise: unsigned sums of up to 128 bits."""
    for j in range(low.shape[0]):
        x = words[j] & mask_low
        before = low[j]
        low[j] = before + x
        carry = _ONE if low[j] < before else nb.uint64(0)
        top = nb.uint64(tops[j]) & mask_top if tops.shape[0] else nb.uint64(0)
        high[j] = high[j] + top + carry


@jit
def add_wide(total, low, high, p, ratio, two_64, two_64_shoup, offset):  # type: ignore[no-untyped-def]
    """Total += high·2^64 + low − offset mod p; offset below p, two_64 = 2^64 mod p."""
    for j in range(total.shape[0]):
        x = reduce_word(low[j], p, ratio)
        x = reduce_once(x + reduce_once(multiply_shoup_lazy(high[j], two_64, two_64_shoup, p), p), p)
        x = reduce_once(x + (p - offset), p)
        total[j] = reduce_once(total[j] + x, p)


@jit
def rescale(r0, r1, q0, q1, ratio0, q1_inverse, q1_inverse_shoup, out):  # type: ignore[no-untyped-def]
    """⌊c / q1⌉ mod q0 of c = (r0 mod q0, r1 mod q1): (c − [c]_{q1}) / q1, with [c]_{q1} centred (CHKKS 2018, §3)."""
    half = q1 >> _ONE
    q1_mod = reduce_word(q1, q0, ratio0)
    for j in range(out.shape[0]):
        remainder = reduce_word(r1[j], q0, ratio0)
        if r1[j] > half:
            remainder = reduce_once(remainder + (q0 - q1_mod), q0)
        difference = r0[j] + (q0 - remainder)
        out[j] = reduce_once(multiply_shoup_lazy(difference, q1_inverse, q1_inverse_shoup, q0), q0)


@jit
def add_message(values, mask, scale, q0, out):  # type: ignore[no-untyped-def]
    """Out = mask + Δ0·value mod q0; int64 values with |Δ0·value| < q0."""
    for j in range(out.shape[0]):
        x = values[j] * scale
        shifted = nb.uint64(x + nb.int64(q0)) if x < 0 else nb.uint64(x)
        out[j] = reduce_once(mask[j] + shifted, q0)


@jit
def decode(y, q0, scale, limit, out):  # type: ignore[no-untyped-def]
    """Out = the multiple of Δ0 next to each centred y; returns how many are further than limit from one, and the worst.

    Args:
        y: uint64, below q0.
        q0: the prime.
        scale: Δ0.
        limit: the largest distance of an honest sum.
        out: int64.

    Returns:
        (entries beyond the limit, largest distance seen).
    """
    half = q0 >> _ONE
    beyond, worst = 0, nb.int64(0)
    scale_signed = nb.int64(scale)
    for j in range(out.shape[0]):
        x = nb.int64(y[j]) - nb.int64(q0) if y[j] > half else nb.int64(y[j])
        value = (x + (scale_signed >> nb.int64(1))) // scale_signed
        distance = abs(x - value * scale_signed)
        if distance > limit:
            beyond += 1
        worst = max(worst, distance)
        out[j] = value
    return beyond, worst
