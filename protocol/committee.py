"""The decryption committee and threshold that a plan gives for the banks that accepted it: service and nodes compute
them alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.errors import CommitteeTooWeak
from protocol.ids import NodeId, TrainingId
from protocol.plan import Plan, ProtectionLevel
from protocol.roster import MAX_COMMITTEE, choose_committee
from protocol.statements import Acceptance, SignedStatement


def size_and_threshold(plan: Plan, banks: int) -> tuple[int, int]:
    """How many members the committee of so many banks has, and how many of them open a sum; (0, 0) under ``none``.

    When fewer banks than the plan's committee size take part the committee is all of them, and the threshold at most
    its size.

    Raises:
        CommitteeTooWeak: the colluders that the plan assumes could open sums themselves.
    """
    protection = plan.protection
    if protection.level is ProtectionLevel.NONE:
        return 0, 0
    size = min(banks, protection.committee_size or MAX_COMMITTEE)
    threshold = min(size, protection.threshold_for(size))
    if threshold <= protection.colluders:
        raise CommitteeTooWeak(
            f"committee of {banks} banks", expected=f"a threshold above the plan's {protection.colluders} colluders",
            got=f"{threshold} of {size}",
        )  # fmt: skip
    return size, threshold


def committee_for(
    plan: Plan, training: TrainingId, acceptances: Iterable[SignedStatement]
) -> tuple[tuple[NodeId, ...], int]:
    """Committee and threshold of a training's roster.

    Args:
        plan: the plan; without a committee size every bank is on it, up to nine.
        training: its id.
        acceptances: of the banks on the roster, verified.

    Returns:
        The committee, in ascending order of node id, and the threshold t; ``((), 0)`` under ``none``.

    Raises:
        CommitteeTooWeak: see `size_and_threshold`.
    """
    accepted = [signed.expect(Acceptance) for signed in acceptances]
    size, threshold = size_and_threshold(plan, len(accepted))
    sealing_keys = {NodeId(acceptance.node): acceptance.sealing_key for acceptance in accepted}
    return choose_committee(training, sealing_keys, size), threshold
