"""All trainings that this bank takes part in, by id."""

from __future__ import annotations

from bank_node.node import Node
from bank_node.participation import Participation
from bank_node.training_store import TrainingStore
from protocol.ids import TrainingId
from protocol.messages import Accepted, WorkItem

#: How often it is looked which trainings have gone silent: they are kept for days.
EXPIRE_EVERY_S = 3600.0
SECONDS_A_DAY = 86_400.0


class Participations:
    """Hands each piece of work to its training.

    Args:
        node: the node's parts.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._open: dict[str, Participation] = {}
        self._expire_next_s = 0.0

    def perform(self, item: WorkItem, *, wait_s: float | None) -> Accepted | None:
        """See `agent.Worker`."""
        accepted = self._of(item.training).perform(item, wait_s=wait_s)
        if item.do == "end":
            self._open.pop(item.training, None)
        return accepted

    def halt(self, training: str, reason: str) -> None:
        """See `agent.Worker`."""
        self._of(training).halt(reason)

    def expire(self) -> None:
        """See `agent.Worker`."""
        now = self._node.clock()
        if now < self._expire_next_s:
            return
        self._expire_next_s = now + EXPIRE_EVERY_S
        oldest = now - self._node.keep_silent_days * SECONDS_A_DAY
        for folder in sorted(self._node.home.trainings.iterdir()):
            store = TrainingStore(folder, self._node.disk)
            # A halted one has keys only if the node was killed just then.
            if store.has_keys() and (store.halted() is not None or store.changed_at_s() < oldest):
                self._of(folder.name).destroy_keys()

    def _of(self, training: str) -> Participation:
        if training not in self._open:
            self._open[training] = Participation(self._node, TrainingId(training))
        return self._open[training]
