"""What the service remembers of a round. Times are seconds since the epoch. Small bodies lie in their row, larger
ones in the blob store (`consortium.rounds.bodies`).
"""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base, ByteCount
from protocol.states import RoundState


class Round(Base):
    """One secure sum.

    Attributes:
        length, bound, resolution: of the query, as `learning.query.Query` has them.
        history: the chain's value before this round; every statement of the round names it.
        deadline_at: when collecting goes on without who has not answered.
        contributors: U, ascending node ids; set once, by compare-and-set, when collecting ends.
        ranges: into how many chunk ranges the sum is cut.
        awaited: how many answers the banks owe, contributions or shares, or fewer (`consortium.rounds.hot_path`).
        doubted: whether the first set of shares did not open the sum (`consortium.rounds.assignments`).
        timings: seconds by phase, for the operator and the benchmark.
    """

    __tablename__ = "rounds"
    __table_args__ = (Index("ix_rounds_state", "state"),)

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(20))
    query_name: Mapped[str] = mapped_column(String(100))
    query_digest: Mapped[str] = mapped_column(String(64))
    length: Mapped[int]
    bound: Mapped[float]
    resolution: Mapped[float]
    history: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[float]
    deadline_at: Mapped[float]
    fixed_at: Mapped[float | None]
    shares_at: Mapped[float | None]
    applied_at: Mapped[float | None]
    contributors: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    ranges: Mapped[int] = mapped_column(default=1)
    awaited: Mapped[int] = mapped_column(default=0)
    doubted: Mapped[bool] = mapped_column(default=False)
    aggregate_digest: Mapped[str | None] = mapped_column(String(64))
    aggregate_size: Mapped[int | None] = mapped_column(ByteCount)
    aggregate_inline: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    aggregate_blob: Mapped[str | None] = mapped_column(String(200))
    bytes_in: Mapped[int] = mapped_column(ByteCount, default=0)
    timings: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)

    @property
    def status(self) -> RoundState:
        """The state as an enum."""
        return RoundState(self.state)


def _of_a_round() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["training", "round"], ["rounds.training", "rounds.index"])


class Contribution(Base):
    """A bank's contribution; ``state`` is ``received``, ``accepted`` (validated) or ``refused`` (with the reason)."""

    __tablename__ = "contributions"
    __table_args__ = (_of_a_round(), Index("ix_contributions_state", "state"))

    training: Mapped[str] = mapped_column(String(36), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(String(36), primary_key=True)
    statement: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(ByteCount)
    inline: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    blob: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(Text, default="")
    received_at: Mapped[float]


class VoteRow(Base):
    """A committee member's vote for a contributor set (agreement)."""

    __tablename__ = "votes"
    __table_args__ = (_of_a_round(),)

    training: Mapped[str] = mapped_column(String(36), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(String(36), primary_key=True)
    statement: Mapped[str] = mapped_column(Text)


class Assignment(Base):
    """Pieces of the key that a committee member was asked to answer for.

    Attributes:
        instead_of: the member in whose stead this one was asked, after the first shares did not open the sum.
        state: ``open``, ``answered``, ``cancelled`` (deadline passed, or no longer needed), ``refused`` (its body is
            no share), ``in_vain`` (asked in the stead of a member without whom the sum does not open either).
    """

    __tablename__ = "assignments"
    __table_args__ = (_of_a_round(), Index("ix_assignments_node_state", "node", "state"))

    training: Mapped[str] = mapped_column(String(36), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(String(36))
    instead_of: Mapped[str | None] = mapped_column(String(36))
    pieces: Mapped[list[int]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(10))
    deadline_at: Mapped[float]
    statement: Mapped[str | None] = mapped_column(Text, deferred=True)
    digest: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int | None] = mapped_column(ByteCount)
    inline: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    blob: Mapped[str | None] = mapped_column(String(200))


class SumRange(Base):
    """The sum of U's contributions over a range of chunks; ``blob`` is None until a worker has summed it."""

    __tablename__ = "sum_ranges"
    __table_args__ = (_of_a_round(),)

    training: Mapped[str] = mapped_column(String(36), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    first_chunk: Mapped[int] = mapped_column(primary_key=True)
    chunk_count: Mapped[int]
    blob: Mapped[str | None] = mapped_column(String(200))
