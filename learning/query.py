"""The heart of the design: a federated algorithm is a pure state machine between secure sums.

    state ── next_query ──► Query ──► contribution(state, query, data) at every bank ──► fixed-point integers
      ▲                                                                                        │ secure sum
      └───────────────────────────── apply(state, query, aggregate) ◄──────────────────────────┘

The coordinator, every bank, an auditor and the in-process driver run the same three functions, so that nothing but
sums ever needs to be exchanged. Sums are **exact**: a contribution is rounded to a multiple of the query's
`resolution` before it is encrypted, the encryption's error is below half of that, and the decrypted sum is rounded
back. Hence the state after a round is the same, bit for bit, with encryption and without.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from learning.errors import ContributionRejected

StateT = TypeVar("StateT")
DataT = TypeVar("DataT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)

#: What a bank may keep between rounds to go faster. It is a cache, never the truth: an algorithm must give the same
#: contribution when it is empty, so that a node that was restarted goes on where it was.
LocalCache = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What one round sums.

    Attributes:
        name: dotted name of what is asked, for people and logs, e.g. ``gbdt.histogram``.
        length: number of reals in every bank's vector.
        bound: bound on the absolute value of each entry of the *sum* over all banks.
        resolution: a power of two; every entry is rounded to a multiple of it. ``bound / resolution`` is at most
            ``2**sum_bits`` of the training's parameters (44 by default: 2**24 with a resolution of 2**-20).
        public: small public inputs, JSON values; they are signed along with everything else.
    """

    name: str
    length: int
    bound: float
    resolution: float = 2.0**-20
    public: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"query {self.name!r}: length must be at least 1, got {self.length}")
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise ValueError(f"query {self.name!r}: bound must be a positive number, got {self.bound}")
        if math.frexp(self.resolution)[0] != 0.5:
            raise ValueError(f"query {self.name!r}: resolution must be a power of two, got {self.resolution}")

    @property
    def sum_bits(self) -> int:
        """Bits that the largest entry of the sum takes, in units of the resolution, without its sign."""
        return max(1, math.ceil(math.log2(self.bound / self.resolution)))

    def digest(self) -> bytes:
        """SHA-256 of the canonical form (sorted keys, no spaces; floats as hex), 32 bytes."""
        canonical = {
            "bound": self.bound.hex(),
            "length": self.length,
            "name": self.name,
            "public": self.public,
            "resolution": self.resolution.hex(),
        }
        return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).digest()


class Algorithm(Protocol[StateT, DataT, ResultT]):
    """A federated algorithm. Deterministic; no clock, no network; states are values and never changed in place.

    ``contribution`` alone sees a bank's data. Where it needs randomness (privacy noise) it takes the generator that
    the algorithm's bank-side data carries; everything else is a function of its arguments.
    """

    def start(self) -> StateT:
        """The state before the first round."""

    def next_query(self, state: StateT) -> Query | None:
        """What the next round sums, or None when the algorithm has finished."""

    def contribution(self, state: StateT, query: Query, data: DataT, cache: LocalCache) -> NDArray[np.float64]:
        """One bank's vector, float64 of shape (query.length,), from its own data and the public state."""

    def apply(self, state: StateT, query: Query, aggregate: NDArray[np.float64]) -> StateT:
        """The state after the round whose sum is `aggregate`, float64 of shape (query.length,)."""

    def result(self, state: StateT) -> ResultT:
        """The model, table or statistic, once `next_query` has returned None."""


class SecureSum(Protocol):
    """Sums fixed-point integers over banks; the in-process drivers are given one."""

    def __call__(self, query: Query, contributions: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """The exact sum, int64 of shape (query.length,), of one vector a bank."""


def to_fixed_point(query: Query, vector: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rounds a contribution to multiples of the query's resolution, half to even.

    Args:
        query: the round's query.
        vector: float64, shape (query.length,), finite, absolute values at most ``query.bound``.

    Returns:
        int64, shape (query.length,), in units of ``query.resolution``.

    Raises:
        ContributionRejected: wrong length, NaN or infinity, or an entry beyond the bound.
    """
    if vector.shape != (query.length,):
        raise ContributionRejected(query.name, expected=f"shape ({query.length},)", got=f"shape {vector.shape}")
    if not np.isfinite(vector).all():
        index = int(np.argmin(np.isfinite(vector)))
        raise ContributionRejected(query.name, expected="finite values", got=f"NaN or infinity at index {index}")
    if np.abs(vector).max() > query.bound:
        index = int(np.abs(vector).argmax())
        raise ContributionRejected(
            query.name, expected=f"absolute values of at most {query.bound}", got=f"a larger one at index {index}"
        )
    return np.rint(vector / query.resolution).astype(np.int64)


def from_fixed_point(query: Query, total: NDArray[np.int64]) -> NDArray[np.float64]:
    """The aggregate as reals: exact, since a resolution is a power of two and sums have fewer than 53 bits."""
    return total.astype(np.float64) * query.resolution
