"""The two protections of a round's bodies behind one face: their size, how they are cut, checked, added, opened.

Under ``ckks`` the bodies are `crypto.wire`'s; under ``none`` the fixed-point vector in the aggregate's format, cut into
chunks of `PLAIN_CHUNK` values, so that the workers share a round in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import crypto
from consortium.rounds.tables import Round
from consortium.trainings.errors import ContributionMalformed
from consortium.trainings.moves import roster_of
from consortium.trainings.tables import Training
from learning.query import Query
from protocol.aggregate import decode_aggregate, value_bytes
from protocol.errors import AggregateMalformed
from protocol.ids import uuid_bytes
from protocol.plan import Plan, ProtectionLevel
from protocol.roster import Roster

#: Values a chunk under ``none``.
PLAIN_CHUNK = 8192
#: Chunks that one task sums: 5 banks' ranges of 16 chunks are 4.6 MB.
RANGE_CHUNKS = 32
#: A round of this many chunks is summed in one piece, by the task that opens it.
SINGLE_RANGE_CHUNKS = 8


@lru_cache(maxsize=16)
def _derive(spec: crypto.ParameterSpec) -> crypto.Parameters:
    return crypto.derive(spec)


def parameters_for(plan: Plan, roster: Roster) -> crypto.Parameters:
    """The encryption parameters of a training: service and banks derive the same ones from plan and roster."""
    return _derive(
        crypto.ParameterSpec(
            sum_bits=plan.protection.sum_bits,
            max_contributors=len(roster.members),
            committee_size=len(roster.committee),
            threshold=roster.threshold,
            smudging_bits=plan.protection.smudging_bits,
        )
    )


def warm_up() -> None:
    """Compiles what sums and opens a round, so that the first one does not wait for it."""
    crypto.warm_up(_derive(crypto.ParameterSpec(sum_bits=44, max_contributors=5, committee_size=5, threshold=4)))


@dataclass(frozen=True)
class RoundBodies:
    """The bodies of one round.

    Attributes:
        query: the round's, without its public inputs, which no body depends on.
        round_id: under ``ckks``; None under ``none``.
    """

    query: Query
    round_id: crypto.RoundId | None

    @cached_property
    def message_bytes(self) -> int:
        """The size of a contribution (and of a share)."""
        if self.round_id is not None:
            return self.round_id.message_bytes
        return self.query.length * value_bytes(self.query)

    @property
    def chunks(self) -> int:
        """How many chunks a body has."""
        return self.round_id.chunks if self.round_id is not None else -(-self.query.length // PLAIN_CHUNK)

    def ranges(self) -> list[tuple[int, int]]:
        """The chunk ranges (first, count) that one task each sums; one range for a small round."""
        if self.chunks <= SINGLE_RANGE_CHUNKS:
            return [(0, self.chunks)]
        return [(first, min(RANGE_CHUNKS, self.chunks - first)) for first in range(0, self.chunks, RANGE_CHUNKS)]

    def byte_range(self, first: int, count: int) -> tuple[int, int]:
        """(offset, size) of a chunk range in a body."""
        if self.round_id is not None:
            return self.round_id.byte_range(first, count)
        width = value_bytes(self.query)
        low, high = self._plain_values(first, count)
        return low * width, (high - low) * width

    def _plain_values(self, first: int, count: int) -> tuple[int, int]:
        return first * PLAIN_CHUNK, min(self.query.length, (first + count) * PLAIN_CHUNK)

    def _plain_query(self, first: int, count: int) -> Query:
        low, high = self._plain_values(first, count)
        return Query(self.query.name, length=high - low, bound=self.query.bound, resolution=self.query.resolution)

    def check_contribution(self, node: str, data: bytes) -> None:
        """Validates a whole contribution.

        Raises:
            ContributionMalformed: it is not one of this bank to this round.
        """
        try:
            if self.round_id is not None:
                crypto.check_contribution(self.round_id, uuid_bytes(node), data)
            else:
                decode_aggregate(self.query, data)
        except (crypto.CryptoError, AggregateMalformed) as error:
            raise ContributionMalformed(node, expected="a valid contribution to this round", got=str(error)) from error

    def check_share_range(self, first: int, count: int, data: bytes) -> None:
        """Checks the residues of a chunk range of a share.

        Raises:
            crypto.CryptoError: one is none.
        """
        if self.round_id is not None:
            crypto.check_residues(self.round_id, first, count, data)

    def sum_range(self, first: int, count: int, parts: Iterable[bytes]) -> bytes:
        """The sum of the same chunk range of several contributions, in a form that `open_range` reads."""
        if self.round_id is not None:
            return crypto.sum_chunks(self.round_id, first, count, parts)
        query = self._plain_query(first, count)
        total = np.zeros(query.length, dtype=np.int64)
        for part in parts:
            total += decode_aggregate(query, part)
        return total.astype("<i8").tobytes()

    def open_range(
        self, first: int, count: int, total: bytes, shares: Sequence[bytes], contributors: int
    ) -> NDArray[np.int64]:
        """The opened values of a chunk range, int64, in units of the resolution.

        Raises:
            crypto.errors.CheckFailed: a share is wrong, or the sum is none of so many contributions.
        """
        if self.round_id is not None:
            return crypto.combine_chunks(self.round_id, first, count, total, shares, contributors)
        return np.frombuffer(total, dtype="<i8").astype(np.int64)


def bodies_of(training: Training, plan: Plan, row: Round) -> RoundBodies:
    """The bodies of a round of a training."""
    return bodies_for(training.id, plan, roster_of(training), row, row.index)


def bodies_for(training: str, plan: Plan, roster: Roster, row: Any, index: int) -> RoundBodies:
    """The same, from what was read of them; `row` has the round's query by the names of `Round`."""
    query = Query(row.query_name, length=row.length, bound=row.bound, resolution=row.resolution)
    if plan.protection.level is ProtectionLevel.NONE:
        return RoundBodies(query, None)
    parameters = parameters_for(plan, roster)
    return RoundBodies(query, crypto.RoundId(parameters, uuid_bytes(training), index, query.length))
