"""Released models, and the record of which was put in force when."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base


class ModelRow(Base):
    """A model that its banks have all derived and confirmed.

    Attributes:
        training: the training that made it; its id is the model's.
        name: the plan's name.
        digest: SHA-256 of the model's canonical bytes, hex.
        blob: key of the bytes.
    """

    __tablename__ = "models"
    __table_args__ = (Index("ix_models_name", "name", "released_at"),)

    training: Mapped[str] = mapped_column(String(36), ForeignKey("trainings.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(String(200))
    released_at: Mapped[float]


class PromotionRow(Base):
    """A model was put in force; the latest of a name holds."""

    __tablename__ = "promotions"
    __table_args__ = (Index("ix_promotions_name", "name", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(63))
    training: Mapped[str] = mapped_column(String(36), ForeignKey("models.training"))
    act: Mapped[str] = mapped_column(String(10))
    at: Mapped[float]
    by: Mapped[str] = mapped_column(String(100))
