"""Waits for work: answers as soon as a node owes something. No connection to the database is held meanwhile."""

from __future__ import annotations

import time

from sqlalchemy import bindparam, select

from consortium.models.service import digests_in_force
from consortium.runtime import Runtime
from consortium.trainings.service import PATIENCE, hear_of
from consortium.trainings.tables import Training, TrainingMember
from consortium.work import work_of
from protocol.messages import Accepted, Work
from protocol.states import TrainingState

# Built once: to build a statement costs about as much as to run it.
_AWAY_FROM = (
    select(TrainingMember.training)
    .join(Training, Training.id == TrainingMember.training)
    .where(
        TrainingMember.node == bindparam("node"),
        TrainingMember.away_since.is_not(None),
        TrainingMember.misses < PATIENCE,
        Training.state.not_in([state.value for state in TrainingState if state.ended]),
    )
)

#: After an answer a node owes nothing until it is woken; if it does after all, it learns so after so many seconds.
SETTLE_S = 0.5


def await_work(runtime: Runtime, node: str, wait_s: float, ticket: int | None = None) -> Work:
    """Everything that a node owes, once there is anything, or nothing after `wait_s` seconds.

    Args:
        runtime: this process' parts.
        node: its id.
        wait_s: longest wait.
        ticket: taken before the answer that the node has just given: it saves a look that would find nothing.
    """
    until = time.monotonic() + wait_s
    if ticket is not None:
        runtime.notifier.wait(node, ticket, min(wait_s, SETTLE_S))
    while True:
        ticket = runtime.notifier.ticket(node)
        items = work_of(runtime, node, ticket)
        left = until - time.monotonic()
        if items or left <= 0:
            return Work(items=items, in_force=runtime.in_force.get(lambda: _read_in_force(runtime)))
        runtime.notifier.wait(node, ticket, min(left, runtime.notifier.patience_s))


def _read_in_force(runtime: Runtime) -> dict[str, str | None]:
    with runtime.db.reading("models.in_force") as s:
        return digests_in_force(s)


def accepted(runtime: Runtime, node: str, wait_s: float | None, ticket: int | None = None) -> Accepted:
    """The answer to a `PUT`, with the next work if the node asked to wait for it."""
    return Accepted() if wait_s is None else Accepted(work=await_work(runtime, node, wait_s, ticket))


def note_presence(runtime: Runtime, node: str) -> None:
    """A node asks for work: where it was away it is counted on again."""
    with runtime.db.looking() as c:
        away = c.execute(_AWAY_FROM, {"node": node}).scalars().all()
    for training_id in away:
        with runtime.act("trainings.hear_of") as (s, effects, now):
            hear_of(s, training_id, node, effects, now=now)
