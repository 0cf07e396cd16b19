"""The parameters of a training's sums, derived from what the sums must hold; docs/crypto.md has the arithmetic.

A sum is an integer vector V (reals in units of the resolution), |V_j| ≤ 2^sum_bits. It is encrypted in
R_q = Z_q[X]/(X^N + 1) with q = q0·q1 at the scale Δ = Δ0·q1, and what is sent is rescaled by q1 (CKKS's own rescaling:
Cheon, Han, Kim, Kim, Song, "A full RNS variant of approximate homomorphic encryption", SAC 2018), hence at the scale Δ0
modulo q0. Δ0 = 3·2^k makes every coefficient a word of an arithmetic code with A = 3 (Brown, 1960): no single flipped
bit is ever mistaken for another sum.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from crypto.errors import ParameterError
from crypto.pieces import MAX_COMMITTEE, piece_count
from crypto.primes import ntt_prime

#: N: with q·(special prime) of at most 152 bits, 192-bit security by SEAL's table, which is the one of the
#: Homomorphic Encryption Standard (Albrecht et al., 2018), ternary secrets.
RING_DEGREE = 8192
MAX_MODULUS_BITS = 152
#: SEAL wants one more prime for key switching; no ciphertext uses it.
SPECIAL_PRIME_BITS = 20
#: Fresh noise is centred binomial with η = 21: variance 10.5, SEAL's σ = 3.2, and never larger than 21.
NOISE_ETA = 21
#: SEAL takes no wider primes.
MAX_PRIME_BITS = 60
MIN_PRIME_BITS = 30
MAX_CONTRIBUTORS = 4096
_ID_DOMAIN = b"fraud-consortium/ckks-parameters/v1"


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What sums are wanted.

    Attributes:
        sum_bits: every entry of a sum is at most 2^sum_bits in absolute value, in units of the resolution.
        max_contributors: the most banks that one sum has.
        committee_size: m, members of the decryption committee.
        threshold: t, how many of them open a sum.
        smudging_bits: κ; the statistical distance between a released sum and one that reveals nothing else is at most
            2^-κ a chunk.
    """

    sum_bits: int
    max_contributors: int
    committee_size: int
    threshold: int
    smudging_bits: int = 40

    def __post_init__(self) -> None:
        for name, low, high in (
            ("sum_bits", 1, 48),
            ("max_contributors", 1, MAX_CONTRIBUTORS),
            ("committee_size", 1, MAX_COMMITTEE),
            ("threshold", 1, self.committee_size),
            ("smudging_bits", 20, 64),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ParameterError(name, expected=f"a whole number from {low} to {high}", got=repr(value))


@dataclass(frozen=True)
class Parameters:
    """Checked parameters; made by `derive`. Two with the same `id` are the same.

    Attributes:
        spec: what they were derived from.
        q0: the prime that messages are sent under.
        q1: the prime that rescaling removes.
        scale_shift: k of Δ0 = 3·2^k.
        residue_bytes: bytes of one residue modulo q0.
        smudging_exponent: a piece's noise is uniform on [−B, B) with B = 2^smudging_exponent.
    """

    spec: ParameterSpec
    q0: int
    q1: int
    scale_shift: int
    residue_bytes: int
    smudging_exponent: int

    @property
    def degree(self) -> int:
        """N, coefficients of a polynomial."""
        return RING_DEGREE

    @property
    def values_per_chunk(self) -> int:
        """N − 1: the first coefficient is the check."""
        return RING_DEGREE - 1

    @property
    def pieces(self) -> int:
        """C(m, t − 1), pieces of a key."""
        return piece_count(self.spec.committee_size, self.spec.threshold)

    @property
    def scale(self) -> int:
        """Δ0, the scale of what is sent."""
        return 3 << self.scale_shift

    @property
    def max_value(self) -> int:
        """2^sum_bits, the largest entry of a sum."""
        return 1 << self.spec.sum_bits

    @property
    def error_limit(self) -> int:
        """The largest |y − Δ0·V| of an honest sum, in units of the sent ring; below Δ0 / 6."""
        return error_bound(self, contributors=self.spec.max_contributors, shares=self.pieces)

    @cached_property
    def id(self) -> bytes:
        """16 bytes that name these parameters in every message."""
        spec = self.spec
        canonical = struct.pack(
            ">HHHHHIQQHHH",
            spec.sum_bits, spec.committee_size, spec.threshold, spec.smudging_bits, NOISE_ETA, spec.max_contributors,
            self.q0, self.q1, self.scale_shift, self.residue_bytes, self.smudging_exponent,
        )  # fmt: skip
        return hashlib.sha256(_ID_DOMAIN + canonical).digest()[:16]

    def chunks(self, values: int) -> int:
        """How many polynomials a vector of so many values takes."""
        return -(-values // self.values_per_chunk)


def smudging_exponent(spec: ParameterSpec) -> int:
    """The smallest β for which noise uniform on [−2^β, 2^β) hides what must not be seen.

    Shifting the uniform distribution on 2B integers by δ changes it by a statistical distance of |δ| / 2B; a chunk has
    N coefficients, each with fresh noise of at most η·|U| (Asharov et al., Eurocrypt 2012, Lemma 1): so
    N·η·|U| / 2B ≤ 2^-κ.
    """
    return math.ceil(math.log2(RING_DEGREE * NOISE_ETA * spec.max_contributors)) + spec.smudging_bits - 1


def error_bound(parameters: Parameters, *, contributors: int, shares: int) -> int:
    """A bound on |y − Δ0·V| for every coefficient y of an opened sum; it holds always, not only with high probability.

    Args:
        parameters: the training's.
        contributors: |U|; each adds fresh noise of at most η, and half a unit of rounding when it rescales.
        shares: each adds half a unit of rounding; every one of the P pieces adds noise of at most B.

    Returns:
        ⌈(P·B + η·|U|) / q1 + (|U| + shares) / 2⌉.
    """
    noise = (parameters.pieces << parameters.smudging_exponent) + NOISE_ETA * contributors
    return -(-(2 * noise + parameters.q1 * (contributors + shares)) // (2 * parameters.q1))


def _sending_prime(bits: int) -> int:
    """q0: the largest NTT prime of so many bits that is 2 modulo 3.

    It is 1 modulo 2^k, hence about Δ0/3 away from a multiple of Δ0: a sum that has overflowed once or twice is noticed
    like a flipped bit.
    """
    return next(q0 for skip in count() if (q0 := ntt_prime(bits, RING_DEGREE, skip=skip)) % 3 == 2)


def derive(spec: ParameterSpec) -> Parameters:
    """Chooses the primes: the fewest bytes a residue that hold the sum, then q1 as narrow as the noise allows.

    Raises:
        ParameterError: no primes hold the sum and the noise at 192-bit security; the sentence has the arithmetic.
    """
    beta = smudging_exponent(spec)
    pieces = piece_count(spec.committee_size, spec.threshold)
    needed = 0.0
    for residue_bytes, bits in ((6, 48), (7, 56), (8, MAX_PRIME_BITS)):
        q0 = _sending_prime(bits)
        # The centred residue must hold Δ0·(2^sum_bits + 1) with Δ0 = 3·2^k.
        shift = bits - 1 - spec.sum_bits - 2
        if shift < 1 or (3 << shift) * ((1 << spec.sum_bits) + 1) >= q0 // 2:
            continue
        room = (3 << shift) // 6 - (spec.max_contributors + pieces + 1) // 2 - 1
        if room < 1:
            continue
        needed = math.log2((pieces << beta) + NOISE_ETA * spec.max_contributors) - math.log2(room)
        for q1_bits in range(max(MIN_PRIME_BITS, math.ceil(needed)), MAX_PRIME_BITS + 1):
            q1 = ntt_prime(q1_bits, RING_DEGREE)
            q1 = ntt_prime(q1_bits, RING_DEGREE, skip=1) if q1 == q0 else q1
            found = Parameters(spec, q0, q1, shift, residue_bytes, beta)
            if found.error_limit * 6 < found.scale and bits + q1_bits + SPECIAL_PRIME_BITS <= MAX_MODULUS_BITS:
                return found
    raise ParameterError(
        "parameters",
        expected=f"primes of at most {MAX_PRIME_BITS} bits",
        got=(
            f"sums of {spec.sum_bits} bits, {spec.max_contributors} banks, {pieces} pieces of noise 2^{beta}, which "
            f"would take a second prime of {needed:.1f} bits"
        ),
        advice="lower sum_bits or smudging_bits, choose a smaller committee, or sum fewer banks at a time",
    )
