"""Addresses at which operators see what is stored, and have it swept."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import undefer

from consortium.http.call import Call
from consortium.http.route import Access, Routes
from consortium.queue.port import Effects, TaskName
from consortium.storage import service
from consortium.storage.service import TrainingStorage
from consortium.trainings.tables import Training
from protocol.statements import WireModel

routes = Routes("storage")


class StorageList(WireModel):
    """What is stored, by training, newest first."""

    trainings: tuple[TrainingStorage, ...]


class SweepRequest(WireModel):
    """What to do about bodies past their retention.

    Attributes:
        dry_run: only say which they are.
    """

    dry_run: bool = Field(default=False, strict=True)


@routes.add("GET", "/v1/storage", access=Access.VIEWER, response=StorageList)
def show(call: Call) -> StorageList:
    """Says how much is stored for which training, and when it may go."""
    return StorageList(trainings=_stored(call))


@routes.add("POST", "/v1/storage/sweep", access=Access.OPERATOR, request=SweepRequest, response=StorageList)
def sweep(call: Call) -> StorageList:
    """Has the workers delete the bodies of trainings past their plan's retention, and says whose."""
    due = tuple(found for found in _stored(call) if found.deletable)
    if not call.body.dry_run:
        effects = Effects()
        for found in due:
            effects.queue(TaskName.SWEEP, found.training)
        call.runtime.release(effects)
    return StorageList(trainings=due)


def _stored(call: Call) -> tuple[TrainingStorage, ...]:
    now = call.runtime.clock.now()
    with call.runtime.db.reading("storage.show") as s:
        rows = s.scalars(
            select(Training).options(undefer(Training.plan_json)).order_by(Training.created_at.desc(), Training.id)
        )
        return tuple(service.storage_of(s, row, call.runtime.blobs, now=now) for row in rows)
