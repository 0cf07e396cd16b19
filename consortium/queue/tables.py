"""Who is at which task, and how often it has failed."""

from __future__ import annotations

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base


class TaskLease(Base):
    """A task that somebody is at, that the reconciler has queued, or that has failed; gone once it is done.

    Attributes:
        key: the task's name and arguments.
        holder: the run that does it; empty while nobody does.
        until: the lease runs out then, unless its holder renews it.
        again: somebody asked for the task while it was being done: the database may have moved since it looked.
        asked: how often the reconciler has queued it.
        ask_after: it is not queued again before.
        failures: how often it has failed in a row.
        error: how it failed last.
    """

    __tablename__ = "task_leases"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    holder: Mapped[str] = mapped_column(String(32), default="")
    until: Mapped[float] = mapped_column(default=0.0)
    again: Mapped[bool] = mapped_column(default=False)
    asked: Mapped[int] = mapped_column(default=0)
    ask_after: Mapped[float] = mapped_column(default=0.0)
    failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(Text, default="")
