"""Opening a sum: y = c_U + Σ_j d_j modulo q0 is Δ0·V plus small noise; V is read off, or the shares are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crypto import kernels
from crypto.errors import CheckFailed, PiecesNotCovered
from crypto.parameters import Parameters, error_bound
from crypto.ring import ring_of
from crypto.summation import sum_chunks, unpack_chunk
from crypto.wire import RoundId


def check_coverage(parameters: Parameters, shares: Sequence[Sequence[int]]) -> None:
    """Checks that the shares cover every piece of the key exactly once.

    Args:
        parameters: the training's.
        shares: the pieces of each share.

    Raises:
        PiecesNotCovered: they do not.
    """
    counts = [0] * parameters.pieces
    for pieces in shares:
        for piece in pieces:
            if not 0 <= piece < parameters.pieces:
                raise PiecesNotCovered("shares", expected=f"pieces below {parameters.pieces}", got=str(piece))
            counts[piece] += 1
    wrong = [piece for piece, count in enumerate(counts) if count != 1]
    if wrong:
        raise PiecesNotCovered(
            "shares",
            expected="every piece covered once",
            got=f"pieces {wrong} covered {[counts[p] for p in wrong]} times",
        )


def combine_chunks(  # noqa: PLR0917  # they read in this order wherever sums are opened
    round_id: RoundId, first_chunk: int, chunk_count: int, total: Any, shares: Sequence[Any], contributors: int
) -> NDArray[np.int64]:
    """Opens a range of chunks of a sum.

    Every coefficient is checked: an honest one is within `error_bound` of a multiple of Δ0, and Δ0 = 3·2^k is more than
    six times that, so that a flipped bit either changes nothing or lands between two multiples; a share under a wrong
    key makes every coefficient uniform. The first coefficient of each chunk must read the number of contributors.

    Args:
        round_id: the round.
        first_chunk: first chunk of the range.
        chunk_count: how many.
        total: the contributions' sum over these chunks (`sum_chunks`).
        shares: of every share the bytes of these chunks; together they cover every piece once (`check_coverage`).
        contributors: |U|.

    Returns:
        int64: the sum's values in these chunks, in units of the resolution.

    Raises:
        CheckFailed: this is no sum of |U| contributions.
        MalformedMessage: wrong lengths.
    """
    parameters = round_id.parameters
    opened = sum_chunks(round_id, first_chunk, chunk_count, [total, *shares])
    limit = np.int64(error_bound(parameters, contributors=contributors, shares=len(shares)))
    q0, scale = ring_of(parameters).primes[0].p, np.uint64(parameters.scale)
    low, high = round_id.value_range(first_chunk, chunk_count)
    values = np.empty(high - low, dtype=np.int64)
    start = done = 0
    for chunk in range(first_chunk, first_chunk + chunk_count):
        count = round_id.coefficients(chunk)
        size = count * parameters.residue_bytes
        decoded = np.empty(count, dtype=np.int64)
        y = unpack_chunk(round_id, memoryview(opened)[start : start + size], chunk)
        beyond, _ = kernels.decode(y, q0, scale, limit, decoded)
        _require_sum(parameters, chunk, decoded, beyond, contributors)
        values[done : done + count - 1] = decoded[1:]
        start, done = start + size, done + count - 1
    return values


def _require_sum(
    parameters: Parameters, chunk: int, decoded: NDArray[np.int64], beyond: int, contributors: int
) -> None:
    advice = "a share is wrong or corrupted: reassign its pieces to find whose"
    if beyond:
        raise CheckFailed(
            f"chunk {chunk}", expected="coefficients next to multiples of the scale",
            got=f"{beyond} of {len(decoded)} beyond the error bound", chunk=chunk, advice=advice,
        )  # fmt: skip
    if int(decoded[0]) != contributors:
        raise CheckFailed(
            f"chunk {chunk}", expected=f"a check of {contributors}", got="another", chunk=chunk, advice=advice
        )
    if len(decoded) > 1 and max(int(decoded[1:].max()), -int(decoded[1:].min())) > parameters.max_value:
        raise CheckFailed(
            f"chunk {chunk}", expected=f"sums of at most 2^{parameters.spec.sum_bits}", got="a larger one", chunk=chunk,
            advice="a bank's contribution was beyond the declared bound",
        )  # fmt: skip
