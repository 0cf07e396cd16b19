"""Entity tables: securely summed counts of transactions and confirmed frauds by terminal, merchant, device or payee.

Layout. One *block* is `width` cells: the counts of one (entity column, bucket, hash row). Blocks are ordered by
column, then bucket, then hash row, and a round sums as many whole blocks as fit into `round_values`. A cell holds its
two counts in one integer, ``transactions + 2**22 * frauds``: exact sums make that safe, and it halves the traffic.

    block   (terminal, day 0, hash 0)  (terminal, day 0, hash 1)  …  (terminal, day 1, hash 0)  …
    cell    HMAC(key, "terminal" ‖ id)[8r : 8r + 8] mod width  in hash row r

Several hash rows as in the count-min sketch (Cormode and Muthukrishnan, J. Algorithms 55, 2005): an entity's
count is the smallest of its cells, which is wrong only if other entities share *every* one of them in that bucket.

What leaves. Frauds of the last `label_delay_days` are not asked for: they are not confirmed yet. Cells with fewer than
`min_count` transactions are emptied when the sum is read and are in no table that comes of it; but the sum itself was
opened to the banks and the server. Plans that must not open small counts at all use wider buckets, or `noise_sigma`:
noise that the banks add before encryption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.entities import EntityRows, EntityTableSettings, cells_of
from learning.errors import AggregateImplausible, ContributionRejected
from learning.privacy import bank_sigma, discrete_gaussian
from learning.query import LocalCache, Query
from learning.risk_table import RiskTable

#: Bits of a packed value below the frauds. A count, noise included, stays below half of 2**CELL_BITS.
CELL_BITS = 22
#: The largest count of one cell over all banks, without noise.
CELL_LIMIT = 2**20


@dataclass(frozen=True, eq=False)
class EntityTableState:
    """The sums so far.

    Attributes:
        sums: packed int64 sums, one read-only array a round.
        blocks_done: blocks that they hold.
        blocks: blocks in all.
        rounds: sums in all.
    """

    sums: tuple[NDArray[np.int64], ...]
    blocks_done: int
    blocks: int
    rounds: int

    @property
    def progress(self) -> dict[str, float]:
        """How many rounds there are."""
        return {"rounds_expected": self.rounds}


class EntityTables:
    """The algorithm: sums the banks' tables, some blocks a round. Its result is a `RiskTable`."""

    def __init__(self, settings: EntityTableSettings) -> None:
        self.settings = settings

    def start(self) -> EntityTableState:
        """No block summed yet."""
        blocks = self.settings.blocks
        rounds = math.ceil(blocks / self.settings.blocks_a_round)
        return EntityTableState(sums=(), blocks_done=0, blocks=blocks, rounds=rounds)

    def next_query(self, state: EntityTableState) -> Query | None:
        """The next blocks, or None when all are summed."""
        blocks = min(self.settings.blocks_a_round, state.blocks - state.blocks_done)
        if blocks == 0:
            return None
        return Query(
            name="entity_tables.counts",
            length=blocks * self.settings.width,
            bound=2.0 ** (CELL_BITS + 21) + 2.0**21,
            resolution=1.0,
            public={"blocks": blocks, "first_block": state.blocks_done},
        )

    def contribution(
        self, state: EntityTableState, query: Query, data: EntityRows, cache: LocalCache
    ) -> NDArray[np.float64]:
        """The bank's packed counts of the blocks that the query asks for."""
        settings = self.settings
        vector = np.empty((query.public["blocks"], settings.width))
        for offset in range(query.public["blocks"]):
            rest, row = divmod(state.blocks_done + offset, settings.hash_rows)
            column, bucket = divmod(rest, settings.buckets)
            counts = self._block(settings.entities[column], bucket, row, data, cache)
            if counts.max() > CELL_LIMIT:
                raise ContributionRejected(query.name, expected=f"at most {CELL_LIMIT} a cell", got="more")
            if settings.noise_sigma > 0:
                counts = counts + self._noise(counts.shape, query, data)
            vector[offset] = counts[0] + counts[1] * 2.0**CELL_BITS
        return vector.ravel()

    def _block(self, column: str, bucket: int, row: int, data: EntityRows, cache: LocalCache) -> NDArray[np.int64]:
        """Transactions and confirmed frauds by cell, int64 of shape (2, width)."""
        by_bucket = cache.get(column)
        if by_bucket is None:  # rows of one bucket lie together, so that a block touches only its own rows
            order = np.argsort(data.buckets, kind="stable")
            order = order[data.codes[column][order] >= 0]
            starts = np.searchsorted(data.buckets[order], np.arange(self.settings.buckets + 1))
            cells = cells_of(data.digests[column], self.settings.width)
            by_bucket = cache[column] = (cells, data.codes[column][order], data.frauds[order], starts)
        cells, codes, frauds, starts = by_bucket
        rows = slice(starts[bucket], starts[bucket + 1])
        width = self.settings.width
        row_cells = cells[codes[rows], row]
        counts = np.zeros((2, width), dtype=np.int64)
        counts[0] = np.bincount(row_cells, minlength=width)
        if bucket < self.settings.buckets - self.settings.delay_buckets:
            counts[1] = np.bincount(row_cells[frauds[rows]], minlength=width)
        return counts

    def _noise(self, shape: tuple[int, ...], query: Query, data: EntityRows) -> NDArray[np.int64]:
        if data.randbytes is None:
            raise ContributionRejected(query.name, expected="a source of randomness for the plan's noise", got="none")
        sigma = bank_sigma(self.settings.noise_sigma, self.settings.noise_banks)
        return discrete_gaussian(sigma, shape, data.randbytes)

    def apply(self, state: EntityTableState, query: Query, aggregate: NDArray[np.float64]) -> EntityTableState:
        """Keeps the sum after checking that honest banks can have produced it."""
        packed = aggregate.astype(np.int64)
        if self.settings.noise_sigma == 0:
            _check_counts(query, packed)
        packed.flags.writeable = False
        return replace(state, sums=(*state.sums, packed), blocks_done=state.blocks_done + int(query.public["blocks"]))

    def result(self, state: EntityTableState) -> RiskTable:
        """The table that every bank turns into features for its own transactions."""
        settings = self.settings
        shape = (len(settings.entities), settings.buckets, settings.hash_rows, settings.width)
        transactions, frauds = unpack(np.concatenate(state.sums).reshape(shape))
        withheld = transactions < settings.min_count
        transactions[withheld] = 0
        frauds[withheld] = 0
        return RiskTable(settings=settings, transactions=transactions, frauds=frauds)


def unpack(packed: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Transactions and frauds, int32 of the same shape, of packed sums; either may be negative under noise."""
    frauds = (packed + 2 ** (CELL_BITS - 1)) >> CELL_BITS
    transactions = packed - (frauds << CELL_BITS)
    return transactions.astype(np.int32), frauds.astype(np.int32)


def _check_counts(query: Query, packed: NDArray[np.int64]) -> None:
    transactions, frauds = unpack(packed)
    if (transactions < 0).any() or (frauds < 0).any():
        raise AggregateImplausible(query.name, expected="counts of at least 0", got="a negative count")
    if (frauds > transactions).any():
        raise AggregateImplausible(query.name, expected="no more frauds than transactions", got="more in a cell")
