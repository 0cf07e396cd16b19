"""All trainings that this bank takes part in, by id."""

from __future__ import annotations

from bank_node.node import Node
from bank_node.participation import Participation
from protocol.ids import TrainingId
from protocol.messages import Accepted, WorkItem


class Participations:
    """Hands each piece of work to its training.

    Args:
        node: the node's parts.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._open: dict[str, Participation] = {}

    def perform(self, item: WorkItem, *, wait_s: float | None) -> Accepted | None:
        """See `agent.Worker`."""
        accepted = self._of(item.training).perform(item, wait_s=wait_s)
        if item.do == "end":
            self._open.pop(item.training, None)
        return accepted

    def halt(self, training: str, reason: str) -> None:
        """See `agent.Worker`."""
        self._of(training).halt(reason)

    def _of(self, training: str) -> Participation:
        if training not in self._open:
            self._open[training] = Participation(self._node, TrainingId(training))
        return self._open[training]
