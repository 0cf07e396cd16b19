"""A regression tree over public bins: plain arrays, never changed once grown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.binning import Bins
from learning.histogram import move_rows
from learning.row_slices import row_slices

NO_CHILD = -1


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Nodes in the order in which they came to be; node 0 is the root.

    Attributes:
        feature: int32; 0 at leaves.
        split_bin: int32: the last bin that goes left, or the category that goes right.
        default_left: bool: where missing values go.
        left: int32, `NO_CHILD` at leaves.
        right: int32, `NO_CHILD` at leaves.
        value: float32: what a leaf adds to the margin; at inner nodes what it would.
        gain: float32: by how much the split improved the objective; 0 at leaves.
        cover: float32: sum of second derivatives.
    """

    feature: NDArray[np.int32]
    split_bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    gain: NDArray[np.float32]
    cover: NDArray[np.float32]

    @property
    def nodes(self) -> int:
        """How many, leaves included."""
        return len(self.feature)

    @property
    def depth(self) -> int:
        """Splits on the longest way to a leaf."""
        depths = np.zeros(self.nodes, dtype=np.int64)
        for at in range(self.nodes):
            if self.left[at] != NO_CHILD:
                depths[[self.left[at], self.right[at]]] = depths[at] + 1
        return int(depths.max())

    def leaves_of(self, binned: NDArray[np.uint8], bins: Bins, depth: int) -> NDArray[np.int32]:
        """The leaf that every row falls into, int32 of shape (n,).

        Args:
            binned: uint8, shape (n, f).
            bins: the public bins.
            depth: at least the tree's depth.
        """
        node = np.zeros(len(binned), dtype=np.int32)
        for _ in range(depth):
            self.step(node, binned, bins)
        return node

    def step(self, node: NDArray[np.int32], binned: NDArray[np.uint8], bins: Bins) -> None:
        """Moves rows one level down, in place; negative entries stay."""
        move_rows(
            node, binned, self.feature, self.split_bin, self.default_left, self.left, self.right, bins.categorical,
            bins.sizes - 1,
        )  # fmt: skip

    def margins_of(self, binned: NDArray[np.uint8], bins: Bins) -> NDArray[np.float32]:
        """What the tree adds to every row's margin, float32 of shape (n,)."""
        return self.value[self.leaves_of(binned, bins, self.depth)]

    def add_to(self, margins: NDArray[np.float64], binned: NDArray[np.uint8], bins: Bins) -> None:
        """Adds what the tree says to every row's margin, in place and some rows at a time.

        Args:
            margins: float64, shape (n,).
            binned: uint8, shape (n, f).
            bins: the public bins.
        """
        depth = self.depth
        for some in row_slices(len(binned)):
            margins[some] += self.value[self.leaves_of(binned[some], bins, depth)]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; float32 values are exact in their shortest decimal form."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tree:
        """The inverse of `to_dict`."""
        return cls(**{name: np.array(values[name], dtype=kind) for name, kind in _DTYPES.items()})


_DTYPES: dict[str, Any] = {
    "feature": np.int32, "split_bin": np.int32, "default_left": np.bool_, "left": np.int32, "right": np.int32,
    "value": np.float32, "gain": np.float32, "cover": np.float32,
}  # fmt: skip
