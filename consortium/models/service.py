"""Releasing, finding, promoting and rolling back models.

A training that completes *releases* its model. A released model is *in force* once it is promoted, under its plan's
name, until another one is promoted, it is rolled back, or the name is withdrawn, which leaves none in force. A name
alone means the model in force.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.models.errors import ModelAmbiguous, ModelMissing, NothingToRollBack
from consortium.models.software import versions
from consortium.models.tables import ModelRow, PromotionRow

_LOG = select(PromotionRow.name, PromotionRow.act, PromotionRow.training).order_by(PromotionRow.id)
_NEWEST_FIRST = (ModelRow.released_at.desc(), ModelRow.training)
_SHOWN = 3


def release(s: Session, *, training: str, name: str, digest: str, blob: str, sha256: str, now: float) -> None:
    """Writes a confirmed model down; again does nothing."""
    if s.get(ModelRow, training) is None:
        s.add(
            ModelRow(
                training=training, name=name, digest=digest, blob=blob, sha256=sha256, released_at=now,
                software=versions(),
            )
        )  # fmt: skip


def find_model(s: Session, model: str) -> ModelRow:
    """A model by its training's id or its digest; by its name the one in force.

    Raises:
        ModelMissing: there is none, or none of this name is in force.
    """
    row = _exactly(s, model)
    if row is None:
        promoted = in_force(s, model)
        row = s.get(ModelRow, promoted) if promoted else None
    if row is None:
        raise _missing(s, model)
    return row


def find_for_card(s: Session, model: str) -> tuple[ModelRow, bool]:
    """As `find_model`, but by a name under which nothing is in force the newest: a card is read before a promotion.

    Returns:
        The model, and whether it is in force.

    Raises:
        ModelMissing: there is none.
    """
    row = _exactly(s, model)
    if row is None:
        promoted = in_force(s, model)
        newest = select(ModelRow).where(ModelRow.name == model).order_by(*_NEWEST_FIRST).limit(1)
        row = s.get(ModelRow, promoted) if promoted else s.scalar(newest)
    if row is None:
        raise _missing(s, model)
    return row, in_force(s, row.name) == row.training


def _exactly(s: Session, model: str) -> ModelRow | None:
    """The model of a training's id or a digest; the newest where several trainings have made the same."""
    found = select(ModelRow).where((ModelRow.training == model) | (ModelRow.digest == model))
    return s.scalar(found.order_by(*_NEWEST_FIRST).limit(1))


def _missing(s: Session, model: str) -> ModelMissing:
    released = _released(s, model)
    if not released:
        return ModelMissing(f"model {model}: there is none; `consortium model list` shows all")
    return ModelMissing(
        f"model {model}: none is in force; released: {released}; `consortium model promote DIGEST` puts one in force, "
        f"`consortium model get {model} --digest DIGEST` fetches one that is not"
    )


def _released(s: Session, name: str) -> str:
    """The newest digests of a name, for a person; empty if there is none."""
    found = list(s.scalars(select(ModelRow.digest).where(ModelRow.name == name).order_by(*_NEWEST_FIRST)))
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def in_force(s: Session, name: str) -> str | None:
    """The training whose model is in force under a name."""
    stack = _replayed(s.execute(_LOG.where(PromotionRow.name == name))).get(name)
    return stack[-1] if stack else None


def digests_in_force(s: Session) -> dict[str, str | None]:
    """Name → digest of the model in force, for every name that has one; None for a name that was withdrawn."""
    log = select(PromotionRow.name, PromotionRow.act, ModelRow.digest)
    log = log.join(ModelRow, ModelRow.training == PromotionRow.training).order_by(PromotionRow.id)
    return {name: stack[-1] if stack else None for name, stack in _replayed(s.execute(log)).items()}


def _replayed(log: Iterable[tuple[str, str, str]]) -> dict[str, list[str]]:
    """Each name's models, the one in force last: a promotion puts one on top, a rollback takes the top one off, a
    withdrawal takes all of them off.

    What was taken off is gone from the stack, so that a later rollback never puts a withdrawn model back.
    """
    stacks: dict[str, list[str]] = {}
    for name, act, model in log:
        stack = stacks.setdefault(name, [])
        if act == "promote":
            stack.append(model)
        elif act == "withdraw":
            stack.clear()
        else:
            stack.pop()
    return stacks


def list_models(s: Session) -> list[tuple[ModelRow, bool]]:
    """All models, newest first, each with whether it is in force."""
    current = {name: stack[-1] for name, stack in _replayed(s.execute(_LOG)).items() if stack}
    rows = s.scalars(select(ModelRow).order_by(*_NEWEST_FIRST))
    return [(row, current.get(row.name) == row.training) for row in rows]


def promote(s: Session, model: str, *, by: str, now: float) -> ModelRow:
    """Puts a model in force under its name; again, or for the same model of another training, does nothing.

    Args:
        s: inside a transaction.
        model: its training's id or its digest. A name does not say which of its models is meant.
        by: who, for the record.
        now: seconds since the epoch.

    Raises:
        ModelMissing: there is none.
        ModelAmbiguous: plans of several names have made the same model.
    """
    names = list(s.scalars(select(ModelRow.name).where(ModelRow.digest == model).distinct().order_by(ModelRow.name)))
    if len(names) > 1:
        raise ModelAmbiguous(
            f"model {model}: expected a model of one name, got one released as {' and as '.join(names)}; "
            "name its training instead of its digest"
        )
    row = _exactly(s, model)
    if row is None:
        if released := _released(s, model):
            raise ModelMissing(
                f"model {model}: expected the digest or the training of one, got a name; it has {released}"
            )
        raise _missing(s, model)
    _lock(s, row.name)
    present = in_force(s, row.name)
    standing = None if present is None else s.get_one(ModelRow, present)
    if standing is not None and standing.digest == row.digest:
        return standing  # of another training, perhaps; on top of itself it would make a rollback that changes nothing
    s.add(PromotionRow(name=row.name, training=row.training, act="promote", at=now, by=by))
    return row


def rollback(s: Session, name: str, *, by: str, now: float) -> ModelRow:
    """Withdraws the model in force and puts the one back that was in force when it was promoted.

    Raises:
        ModelMissing: no model of this name is in force.
        NothingToRollBack: none was in force before.
    """
    _lock(s, name)
    stack = _replayed(s.execute(_LOG.where(PromotionRow.name == name))).get(name)
    if not stack:
        raise _missing(s, name)
    if len(stack) == 1:
        raise NothingToRollBack(
            f"model {name}: no model was in force before the present one; `consortium model promote` puts another in "
            f"force, `consortium model withdraw {name}` leaves none in force"
        )
    s.add(PromotionRow(name=name, training=stack[-2], act="rollback", at=now, by=by))
    return s.get_one(ModelRow, stack[-2])


def withdraw(s: Session, name: str, *, by: str, now: float) -> ModelRow:
    """Leaves no model in force under a name, until one is promoted; again does nothing.

    Also where none was promoted yet: banks score with the newest one then, and no longer from now on.

    Returns:
        The model that was in force last, or else the newest.

    Raises:
        ModelMissing: no model of this name was ever released.
    """
    _lock(s, name)
    row, _ = find_for_card(s, name)
    if row.name != name:
        raise ModelMissing(f"model {name}: expected a name, got a model of {row.name}; withdraw that name")
    last = s.execute(_LOG.where(PromotionRow.name == name).order_by(None).order_by(PromotionRow.id.desc())).first()
    if last is not None and last.act == "withdraw":
        return s.get_one(ModelRow, last.training)
    s.add(PromotionRow(name=name, training=row.training, act="withdraw", at=now, by=by))
    return row


def _lock(s: Session, name: str) -> None:
    """Two acts upon a name come one after the other: each must see what the other has left in force."""
    s.execute(select(ModelRow.training).where(ModelRow.name == name).order_by(ModelRow.training).with_for_update())
