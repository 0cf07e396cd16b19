"""Replicated secret sharing: who holds which piece of every key, and who is asked for which.

One piece for every (t − 1)-subset A of the committee, held by the members not in A (Ito, Saito, Nishizeki 1987; Cramer,
Damgård, Ishai, TCC 2005). Any t members hold every piece between them; any t − 1 members miss exactly one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import combinations

from crypto.errors import PiecesNotCovered

#: C(9, t − 1) ≤ 126 pieces; larger consortia choose a committee.
MAX_COMMITTEE = 9


def piece_count(committee_size: int, threshold: int) -> int:
    """C(m, t − 1)."""
    return math.comb(committee_size, threshold - 1)


@lru_cache(maxsize=128)
def piece_layout(committee_size: int, threshold: int) -> tuple[tuple[int, ...], ...]:
    """The holders of each piece.

    Args:
        committee_size: m.
        threshold: t.

    Returns:
        One tuple a piece, in lexicographic order of the (t − 1)-subset A that does *not* hold it: the members' indices
        0 … m − 1, ascending, that do.
    """
    members = range(committee_size)
    return tuple(
        tuple(member for member in members if member not in outsiders)
        for outsiders in combinations(members, threshold - 1)
    )


def pieces_of(committee_size: int, threshold: int, member: int) -> tuple[int, ...]:
    """The pieces that a member holds, ascending."""
    return tuple(p for p, holders in enumerate(piece_layout(committee_size, threshold)) if member in holders)


def assign(
    committee_size: int, threshold: int, *, available: Collection[int], missing: Sequence[int] | None = None
) -> dict[int, tuple[int, ...]]:
    """Assigns every missing piece to one of the available members that hold it, evenly.

    A share costs a member the same however many pieces it adds up, so the fewest members that cover the pieces are
    asked: at the start t of them.

    Args:
        committee_size: m.
        threshold: t.
        available: members that may be asked, in order of preference if it is a sequence.
        missing: the pieces that no share covers yet; all by default.

    Returns:
        The pieces asked of each member that is asked, ascending.

    Raises:
        PiecesNotCovered: too few members are available.
    """
    layout = piece_layout(committee_size, threshold)
    wanted = range(len(layout)) if missing is None else missing
    chosen: list[int] = []
    for member in available:
        uncovered = [piece for piece in wanted if not set(layout[piece]) & set(chosen)]
        if any(member in layout[piece] for piece in uncovered):
            chosen.append(member)
    result: dict[int, list[int]] = {member: [] for member in chosen}
    # Pieces with few holders first; each to the holder with the least to do.
    for piece in sorted(wanted, key=lambda p: len(set(layout[p]) & set(chosen))):
        holders = [member for member in chosen if member in layout[piece]]
        if not holders:
            raise PiecesNotCovered(
                "assignment",
                expected=f"{threshold} of {committee_size} committee members",
                got=f"{len(set(available))}",
            )
        result[min(holders, key=lambda member: (len(result[member]), member))].append(piece)
    return {member: tuple(sorted(pieces)) for member, pieces in result.items() if pieces}
