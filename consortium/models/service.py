"""Releasing, finding, promoting and rolling back models."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.models.errors import ModelMissing, NothingToRollBack
from consortium.models.tables import ModelRow, PromotionRow


def release(s: Session, *, training: str, name: str, digest: str, blob: str, now: float) -> None:
    """Writes a confirmed model down; again does nothing."""
    if s.get(ModelRow, training) is None:
        s.add(ModelRow(training=training, name=name, digest=digest, blob=blob, released_at=now))


def find_model(s: Session, model: str) -> ModelRow:
    """A model by its training's id or its digest; by its name the one in force, or else the newest.

    Raises:
        ModelMissing: there is none.
    """
    row = s.scalar(
        select(ModelRow)
        .where((ModelRow.training == model) | (ModelRow.digest == model))
        .order_by(ModelRow.released_at.desc())
        .limit(1)
    )
    if row is None:
        promoted = in_force(s, model)
        row = s.get(ModelRow, promoted) if promoted else None
    if row is None:
        row = s.scalar(select(ModelRow).where(ModelRow.name == model).order_by(ModelRow.released_at.desc()).limit(1))
    if row is None:
        raise ModelMissing(f"model {model}: there is none; `consortium model list` shows all")
    return row


def in_force(s: Session, name: str) -> str | None:
    """The training whose model is in force under a name."""
    return s.scalar(
        select(PromotionRow.training).where(PromotionRow.name == name).order_by(PromotionRow.id.desc()).limit(1)
    )


def list_models(s: Session) -> list[tuple[ModelRow, bool]]:
    """All models, newest first, each with whether it is in force."""
    rows = list(s.scalars(select(ModelRow).order_by(ModelRow.released_at.desc())))
    current = {name: in_force(s, name) for name in {row.name for row in rows}}
    return [(row, current[row.name] == row.training) for row in rows]


def promote(s: Session, model: str, *, by: str, now: float) -> ModelRow:
    """Puts a model in force under its name; again does nothing.

    Raises:
        ModelMissing: there is none.
    """
    row = find_model(s, model)
    if in_force(s, row.name) != row.training:
        s.add(PromotionRow(name=row.name, training=row.training, act="promote", at=now, by=by))
    return row


def rollback(s: Session, name: str, *, by: str, now: float) -> ModelRow:
    """Puts the model in force that was before the present one.

    Raises:
        ModelMissing: no model of this name is in force.
        NothingToRollBack: none was in force before.
    """
    current = in_force(s, name)
    if current is None:
        raise ModelMissing(f"model {name}: none is in force; `consortium model promote` puts one in force")
    before = s.scalar(
        select(PromotionRow.training)
        .where(PromotionRow.name == name, PromotionRow.training != current, PromotionRow.act == "promote")
        .order_by(PromotionRow.id.desc())
        .limit(1)
    )
    if before is None:
        raise NothingToRollBack(f"model {name}: only one model has ever been in force")
    s.add(PromotionRow(name=name, training=before, act="rollback", at=now, by=by))
    return s.get_one(ModelRow, before)
