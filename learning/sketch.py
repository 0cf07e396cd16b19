"""Quantile sketch in a few secure sums: how the values of each feature are spread over all banks, then finer where it
matters.

The grid is the order of float32 itself: the bits of a number, turned so that they sort as integers (Terdiman's trick),
are cut to the sign, the exponent and two bits of the mantissa: a symmetric-log grid with four cells an octave, which
needs no bounds. The second sum counts the cells that hold much, cut into equal parts of that integer order. Where a
part still holds more than a bin should (values that lie close together far from zero, or many equal ones) the next sum
cuts it once more. Bin edges are exact float32 numbers. Categories and booleans need no sketch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Sign, 8 bits of exponent, 2 of mantissa.
COARSE_BITS = 11
COARSE_CELLS = 1 << COARSE_BITS
_SHIFT = 32 - COARSE_BITS
_SIGN = np.uint32(0x80000000)
#: Sums at most: the coarse one, the fine one, and two for what lies close together far from zero.
PASSES = 4
#: Parts into which a cell that still holds too much is cut, for each bin's worth of values in it.
_PARTS_A_BIN = 16


def ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Float32 as uint32 in the same order; −0 as 0; NaN must be left out before."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    return np.where(bits & _SIGN != 0, ~bits, bits | _SIGN).astype(np.uint32)


def from_ordered(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The inverse of `ordered`."""
    keys = keys.astype(np.uint32)
    return np.where(keys & _SIGN != 0, keys & ~_SIGN, ~keys).astype(np.uint32).view(np.float32)


def coarse_counts(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts by coarse cell, int64 of shape (COARSE_CELLS + 1,); the last entry counts missing values."""
    there = values[~np.isnan(values)]
    counts = np.zeros(COARSE_CELLS + 1, dtype=np.int64)
    counts[:-1] = np.bincount(ordered(there) >> _SHIFT, minlength=COARSE_CELLS)
    counts[-1] = len(values) - len(there)
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """One feature's fine cells: cell k holds the keys from ``starts[k]`` (inclusive) to ``starts[k + 1]``.

    Attributes:
        starts: uint64, ascending, from 0; keys are below 2^32.
    """

    starts: NDArray[np.uint64]

    @property
    def cells(self) -> int:
        """How many."""
        return len(self.starts)

    def counts(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """Counts by cell, int64 of shape (cells,), without missing values."""
        # Sorted, so that the few starts are looked up among the many keys, and not the other way round.
        keys = np.sort(ordered(values[~np.isnan(values)]))
        begins = np.searchsorted(keys, self.starts.astype(np.uint32))
        return np.diff(begins, append=len(keys)).astype(np.int64)


#: The coarse cells as a grid.
COARSE_GRID = Grid(np.arange(COARSE_CELLS, dtype=np.uint64) << np.uint64(_SHIFT))


def refine(counts: NDArray[np.int64], fine_cells: int) -> Grid:
    """Cuts the coarse cells that hold much into parts, in proportion to what they hold.

    Args:
        counts: int64, shape (COARSE_CELLS,), of all banks together.
        fine_cells: about how many cells there may be in all.

    Returns:
        A grid that covers every number.
    """
    occupied = np.flatnonzero(counts)
    # A power of two, so that equal cells are cut alike; at most down to single float32 numbers.
    wanted = np.maximum(1.0, fine_cells * counts[occupied] / max(1, int(counts.sum())))
    bits = np.minimum(_SHIFT, np.ceil(np.log2(wanted)).astype(np.int64))
    parts = 1 << bits
    place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    inside = (np.repeat(occupied, parts) << _SHIFT) + (place << np.repeat(_SHIFT - bits, parts))
    # What lies between occupied cells is one cell, and so is what lies before the first and behind the last.
    merged = np.unique(np.concatenate([[0], inside, (occupied + 1) << _SHIFT]))
    return Grid(merged[merged < (1 << 32)].astype(np.uint64))


def sharpen(grid: Grid, counts: NDArray[np.int64], max_bins: int) -> Grid:
    """Cuts the cells that hold more than an eighth of a bin, if any holds more than a half.

    Args:
        grid: cells of which those that hold anything are a power of two wide.
        counts: int64, shape (grid.cells,), of all banks together.
        max_bins: bins that are wanted.

    Returns:
        The same grid if none does, or those that do are single numbers.
    """
    width = np.diff(np.append(grid.starts, np.uint64(1 << 32)))
    part_of_bin = np.where(width > 1, counts, 0) * (max_bins / max(1, int(counts.sum())))
    if not (part_of_bin > 1 / 2).any():
        return grid
    heavy = np.flatnonzero(part_of_bin > 1 / 8)
    parts = [grid.starts]
    for cell in heavy:
        # A power of two, as the cell's own width is.
        step = max(1, int(width[cell]) >> math.ceil(math.log2(_PARTS_A_BIN * part_of_bin[cell])))
        parts.append(grid.starts[cell] + np.arange(0, int(width[cell]), step, dtype=np.uint64))
    return Grid(np.unique(np.concatenate(parts)))


def quantile_edges(grid: Grid, counts: NDArray[np.int64], max_bins: int) -> NDArray[np.float32]:
    """Bin edges from the fine counts: a value is in bin b when ``edge[b − 1] <= value < edge[b]``.

    Args:
        grid: the fine cells.
        counts: int64, shape (grid.cells,), of all banks together.
        max_bins: at most so many bins.

    Returns:
        float32, ascending, at most ``max_bins − 1`` edges; none for a constant or empty feature.
    """
    occupied = np.flatnonzero(counts)
    if len(occupied) <= 1:
        return np.empty(0, dtype=np.float32)
    if len(occupied) > max_bins:
        below = np.cumsum(counts[occupied])
        targets = below[-1] * np.arange(1, max_bins) / max_bins
        cuts = np.unique(np.searchsorted(below, targets, side="left") + 1)
        cuts = cuts[cuts < len(occupied)]
    else:
        cuts = np.arange(1, len(occupied))
    # A bin begins where the first occupied cell of it begins.
    edges = from_ordered(grid.starts[occupied[cuts]].astype(np.uint32))
    return edges[np.isfinite(edges)]
