"""What the service remembers of nodes and of the tokens that invite them."""

from __future__ import annotations

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base


class NodeRow(Base):
    """One bank's node. Of those that were not removed, no two have one name: a bank may come back under its own.

    Attributes:
        enrolment: the statement by which it applied, as it was signed.
        removed_at: when the operator removed it; its requests are refused from then on.
    """

    __tablename__ = "nodes"
    __table_args__ = (
        Index(
            "ix_nodes_name_in_use", "name", unique=True, sqlite_where=text("removed_at IS NULL"),
            postgresql_where=text("removed_at IS NULL"),
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    signing_key: Mapped[str] = mapped_column(String(64), unique=True)
    sealing_key: Mapped[str] = mapped_column(Text)
    enrolment: Mapped[str] = mapped_column(Text)
    enrolled_at: Mapped[float]
    seen_at: Mapped[float | None]
    removed_at: Mapped[float | None]


class EnrolmentToken(Base):
    """A one-time token, as its digest."""

    __tablename__ = "enrolment_tokens"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(String(100))
    expires_at: Mapped[float]
    node: Mapped[str | None] = mapped_column(String(36))
