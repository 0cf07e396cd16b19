"""The decryption committee and threshold that a plan gives for a set of banks: service and nodes compute them alike."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.ids import NodeId, TrainingId
from protocol.plan import Plan, ProtectionLevel
from protocol.roster import MAX_COMMITTEE, choose_committee


def committee_for(plan: Plan, training: TrainingId, nodes: Sequence[NodeId]) -> tuple[tuple[NodeId, ...], int]:
    """Committee and threshold of a training's roster.

    Args:
        plan: the plan; without a committee size every bank is on it, up to nine.
        training: its id.
        nodes: the banks on the roster.

    Returns:
        The committee, in ascending order of node id, and the threshold t; ``((), 0)`` under ``none``. When fewer banks
        than the plan's committee size take part the committee is all of them, and the threshold at most its size.
    """
    if plan.protection.level is ProtectionLevel.NONE:
        return (), 0
    size = min(len(nodes), plan.protection.committee_size or MAX_COMMITTEE)
    committee = choose_committee(training, nodes, size)
    return committee, min(size, plan.protection.threshold_for(size))
