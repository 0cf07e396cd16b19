"""How much is stored for which training, and the sweep that deletes bodies past their plan's retention.

Contributions, shares, sealed messages and sums go. Digests, statements, aggregates and models stay: the history can
still be checked, and banks that were away still catch up.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, undefer

from consortium.blobs import BlobStore
from consortium.rounds.tables import Assignment, Contribution, Round, SumRange
from consortium.runtime import Runtime
from consortium.trainings.moves import lock_training, plan_of, record_event
from consortium.trainings.tables import SealedMessageRow, Training
from protocol.ids import Name, UUIDText
from protocol.statements import WireModel
from protocol.states import TrainingState

DAY_S = 86400.0
#: Ended trainings keep their bodies for so long in any case: somebody may still be reading them.
_AT_LEAST_S = 3600.0
#: Bytes written again within this time belong to another training, whose row is about to name them.
_FRESH_S = 3600.0
#: Tables of bodies that go; the first three have uploads, whose keys are their digests and hence may be shared.
_Uploads = type[Contribution] | type[Assignment] | type[SealedMessageRow]
_UPLOADS: dict[str, _Uploads] = {"contributions": Contribution, "shares": Assignment, "sealed": SealedMessageRow}

log = structlog.get_logger("consortium.storage")


class TrainingStorage(WireModel):
    """What is stored for a training, in bytes.

    Attributes:
        contributions, shares, sealed, sums: bodies that go when their time is over.
        kept: aggregates, which stay.
        deletable_from: when the bodies may go; None while the training is under way.
        deletable: that time has come, and they are still here.
        swept_at: when they were deleted.
    """

    training: UUIDText
    plan: Name
    state: TrainingState
    contributions: int
    shares: int
    sealed: int
    sums: int
    kept: int
    deletable_from: float | None
    deletable: bool
    swept_at: float | None

    @property
    def bodies(self) -> int:
        """Everything that goes."""
        return self.contributions + self.shares + self.sealed + self.sums


def storage_of(s: Session, training: Training, blobs: BlobStore, *, now: float) -> TrainingStorage:
    """What is stored for a training."""
    sizes = {name: _uploaded(s, table, training.id) for name, table in _UPLOADS.items()}
    kept = s.scalar(select(func.sum(Round.aggregate_size)).where(Round.training == training.id))
    sums = [blobs.stat(key) for key in _sum_keys(s, training.id)]
    until = deletable_from(training)
    return TrainingStorage(
        training=training.id, plan=training.plan_name, state=training.status, **sizes, kept=int(kept or 0),
        sums=sum(found.size_bytes for found in sums if found is not None), deletable_from=until,
        deletable=until is not None and until <= now and training.swept_at is None, swept_at=training.swept_at,
    )  # fmt: skip


def _uploaded(s: Session, table: _Uploads, training: str) -> int:
    here = or_(table.inline.is_not(None), table.blob.is_not(None))
    return int(s.scalar(select(func.sum(table.size_bytes)).where(table.training == training, here)) or 0)


def _sum_keys(s: Session, training: str) -> list[str]:
    keys = s.scalars(select(SumRange.blob).where(SumRange.training == training, SumRange.blob.is_not(None)))
    return [key for key in keys if key is not None]


def deletable_from(training: Training) -> float | None:
    """When a training's bodies may go; None while it is under way."""
    if training.ended_at is None:
        return None
    return training.ended_at + max(_AT_LEAST_S, plan_of(training).retention_days * DAY_S)


def due_for_sweep(s: Session, *, now: float) -> list[str]:
    """Ended trainings, however they ended, whose bodies are here longer than their plan keeps them."""
    ended = s.scalars(
        select(Training)
        .where(Training.ended_at <= now - _AT_LEAST_S, Training.swept_at.is_(None))
        .options(undefer(Training.plan_json))
        .order_by(Training.ended_at)
    )
    return [training.id for training in ended if (deletable_from(training) or now) <= now]


def sweep_training(runtime: Runtime, training_id: str) -> None:
    """Deletes a training's bodies if their time is over; again, or after it was interrupted, it does what is left."""
    now = runtime.clock.now()
    with runtime.db.reading("storage.look") as s:
        training = s.get(Training, training_id)
        until = None if training is None else deletable_from(training)
        if training is None or until is None or until > now or training.swept_at is not None:
            return
        freed = storage_of(s, training, runtime.blobs, now=now).bodies
        uploads, sums = _upload_keys(s, training_id), _sum_keys(s, training_id)
    for key in uploads:
        found = runtime.blobs.stat(key)
        if found is not None and found.written_at <= now - _FRESH_S:
            runtime.blobs.delete(key)
    for key in sums:
        runtime.blobs.delete(key)
    with runtime.act("storage.swept") as (s, _, then):
        row = lock_training(s, training_id)
        for table in _UPLOADS.values():
            s.execute(update(table).where(table.training == training_id).values(inline=None, blob=None))
        row.swept_at = then
        record_event(s, training_id, "swept", now=then, detail=f"{freed} bytes of bodies deleted; retention is over")
    log.info("storage:swept", training=training_id, freed_bytes=freed)


def _upload_keys(s: Session, training: str) -> list[str]:
    """Keys of a training's uploads that no other training's row names."""
    mine: set[str] = set()
    for table in _UPLOADS.values():
        mine |= {key for key in s.scalars(select(table.blob).where(table.training == training)) if key is not None}
    return sorted(mine - _named_elsewhere(s, training, mine))


def _named_elsewhere(s: Session, training: str, keys: Iterable[str]) -> set[str]:
    found: set[str] = set()
    wanted = sorted(keys)
    for table in _UPLOADS.values():
        for start in range(0, len(wanted), 500):
            others = select(table.blob).where(table.blob.in_(wanted[start : start + 500]), table.training != training)
            found |= {key for key in s.scalars(others) if key is not None}
    return found
