"""Who must collude to learn what: equivocation, the default threshold, and the votes of agreement.

*Equivocation*: a server that lies may name different contributor sets to different members. Those who answer U1 and
those who answer U2 are disjoint but for c members who collude with it, so both sums open only if 2t ≤ m + c. With
*agreement* a share leaves only after more than (m + c) / 2 members have signed for the same set: two such majorities
share more than c members, hence an honest one, who signs once.
"""

from __future__ import annotations

from dataclasses import dataclass

from crypto.errors import ParameterError


def default_threshold(committee_size: int) -> int:
    """T = ⌊2m/3⌋ + 1, at most m: 4-of-5, 5-of-7, 7-of-9."""
    return min(committee_size, 2 * committee_size // 3 + 1)


def equivocation_colluders(committee_size: int, threshold: int) -> int:
    """The most members that may collude with a lying server without agreement: 2t − m − 1; negative if none may."""
    return 2 * threshold - committee_size - 1


def votes_needed(committee_size: int, colluders: int) -> int:
    """How many members must sign for a contributor set before a share leaves: the fewest above (m + c) / 2.

    Args:
        committee_size: m.
        colluders: c, members that may collude with a lying server.
    """
    return (committee_size + colluders) // 2 + 1


@dataclass(frozen=True, slots=True)
class Collusion:
    """One row of the table: who has to work together to learn what.

    Attributes:
        who: the parties.
        learns: what they learn, or "nothing".
    """

    who: str
    learns: str


def collusion_table(
    committee_size: int, threshold: int, *, agreement: bool = False, colluders: int = 1
) -> tuple[Collusion, ...]:
    """What any coalition learns under this committee; shown with every plan.

    Args:
        committee_size: m.
        threshold: t.
        agreement: whether shares leave only after a vote on the contributor set.
        colluders: c, with agreement: how many colluding members its votes withstand.

    Raises:
        ParameterError: no such committee.
    """
    if not 1 <= threshold <= committee_size:
        raise ParameterError("threshold", expected=f"1 to {committee_size}", got=str(threshold))
    rows = [
        Collusion(
            "the server and its workers, honest but curious", "the sums, as every bank does; nothing of one bank"
        ),
        Collusion(f"up to {_members(threshold - 1)} and the server", "nothing but the sums"),
        Collusion(
            f"{_members(threshold)} and the server",
            "every contribution of the training: they hold every piece of every key",
        ),
        Collusion(
            "all banks of a contributor set but one",
            "that one bank's numbers: the sum less their own (no protocol for sums can prevent it)",
        ),
    ]
    if agreement:
        # The votes withstand c colluders, but t members need no second contributor set.
        withstood = min(colluders, threshold - 1)
        rows.append(
            Collusion(
                f"a lying server and up to {_members(withstood)}",
                f"nothing: {votes_needed(committee_size, colluders)} members sign for one contributor set a round",
            )
        )
        return tuple(rows)
    safe = equivocation_colluders(committee_size, threshold)
    if safe >= 0:
        rows.append(
            Collusion(
                f"a lying server and up to {_members(safe)}" if safe else "a lying server alone",
                "nothing: two contributor sets of one round cannot both find enough shares",
            )
        )
    rows.append(
        Collusion(
            f"a lying server and {_members(safe + 1)}" if safe >= 0 else "a lying server alone",
            "the difference of two sums of one round: possibly one bank's numbers; found out a round later by the "
            "digest of the contributor set that every signed message carries",
        )
    )
    return tuple(rows)


def _members(count: int) -> str:
    return f"{count} committee member{'' if count == 1 else 's'}"
