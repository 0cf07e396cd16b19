"""Runs a federation of arrays in one process: what tests, notebooks, benchmarks and auditors use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from learning.query import Algorithm, LocalCache, Query, SecureSum, from_fixed_point, to_fixed_point

StateT = TypeVar("StateT")
DataT = TypeVar("DataT")
ResultT = TypeVar("ResultT")


def plain_sum(query: Query, contributions: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The sum in the clear: protection level ``none``, and the oracle for every other one."""
    del query
    total = np.zeros_like(contributions[0])
    for contribution in contributions:
        total += contribution
    return total


def run(
    algorithm: Algorithm[StateT, DataT, ResultT],
    banks: Sequence[DataT],
    *,
    secure_sum: SecureSum = plain_sum,
    on_round: Callable[[Query, StateT], None] | None = None,
) -> ResultT:
    """Runs an algorithm to its end over the banks' data.

    Args:
        algorithm: any federated algorithm of this package.
        banks: one bank-side data object a bank, of the algorithm's kind.
        secure_sum: how contributions are summed; in the clear by default.
        on_round: called after every round with its query and the new state (progress).

    Returns:
        The algorithm's result.
    """
    caches: list[LocalCache] = [{} for _ in banks]
    state = algorithm.start()
    while (query := algorithm.next_query(state)) is not None:
        # No name for the contributions: they are gone before the next ones are made.
        total = secure_sum(
            query,
            [
                to_fixed_point(query, algorithm.contribution(state, query, data, cache))
                for data, cache in zip(banks, caches, strict=True)
            ],
        )
        state = algorithm.apply(state, query, from_fixed_point(query, total))
        if on_round is not None:
            on_round(query, state)
    return algorithm.result(state)
