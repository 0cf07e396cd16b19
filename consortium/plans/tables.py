"""Plans, as their canonical JSON."""

from __future__ import annotations

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base


class PlanRow(Base):
    """A plan; never changed, since banks sign its digest."""

    __tablename__ = "plans"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    json: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(String(100))
