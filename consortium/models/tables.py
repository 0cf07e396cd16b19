"""Released models, and the record of which was put in force when."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base


class ModelRow(Base):
    """A model that its banks have all derived and confirmed.

    Attributes:
        training: the training that made it; its id is the model's.
        name: the plan's name.
        digest: what the banks have signed, hex: of the model's bytes, or of a table's counts.
        blob: key of the bytes.
        sha256: of the bytes, hex.
        software: versions that released it.
    """

    __tablename__ = "models"
    __table_args__ = (Index("ix_models_name", "name", "released_at"),)

    training: Mapped[str] = mapped_column(String(36), ForeignKey("trainings.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    released_at: Mapped[float]
    software: Mapped[dict[str, str]] = mapped_column(JSON)


class PromotionRow(Base):
    """One act in the log of a name: ``promote`` puts a model in force, ``rollback`` withdraws the one that is and puts
    the one before it back, ``withdraw`` leaves none in force.

    Attributes:
        training: the model that is in force after the act, or that was withdrawn by it.
    """

    __tablename__ = "promotions"
    __table_args__ = (Index("ix_promotions_name", "name", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(63))
    training: Mapped[str] = mapped_column(String(36), ForeignKey("models.training"))
    act: Mapped[str] = mapped_column(String(10))
    at: Mapped[float]
    by: Mapped[str] = mapped_column(String(100))
