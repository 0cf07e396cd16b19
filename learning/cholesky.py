"""Solves a small symmetric positive system by the same operations in the same order on every machine.

LAPACK's results depend on the processor in the last bits, and then banks would derive different models. Numba compiles
without reassociation and without fused operations, so that these loops give the same bits everywhere.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

jit: Any = nb.njit(nogil=True, cache=True, boundscheck=False)


def solve_positive(matrix: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The solution x of A·x = b by A = L·Lᵀ.

    Args:
        matrix: float64, shape (n, n), symmetric, positive (semi-)definite; a pivot below 1e-12 of the largest is taken
            as that, which leaves a redundant column's coefficient where it is.
        vector: float64, shape (n,).
    """
    return np.asarray(_solve(np.ascontiguousarray(matrix), np.ascontiguousarray(vector)))


@jit
def _solve(A, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # compiled for the types that come
    n = b.shape[0]
    L = np.zeros((n, n))
    largest = 0.0
    for i in range(n):
        largest = max(largest, A[i, i])
    for i in range(n):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i == j:
                L[i, i] = np.sqrt(max(total, 1e-12 * largest))
            else:
                L[i, j] = total / L[j, j]
    x = np.empty(n)
    for i in range(n):
        total = b[i]
        for k in range(i):
            total -= L[i, k] * x[k]
        x[i] = total / L[i, i]
    for i in range(n - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, n):
            total -= L[k, i] * x[k]
        x[i] = total / L[i, i]
    return x
