"""What the service remembers of a training. Times are seconds since the epoch; statements and plans are kept as the
JSON in which they were signed.
"""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from consortium.db import Base, ByteCount
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.states import TrainingState


class Training(Base):
    """One training of a plan.

    Attributes:
        round: how many rounds were applied, hence the number of the round that is next or open.
        away: how many members on the roster are away, so that a request need not look at each.
        history: the chain's value before that round; None until the roster's keys are shared.
        attempt: how often the key ceremony was started again.
        deadline_at: when the invitation, the ceremony or the evaluation goes on without who has not answered.
        pause: why it is paused: ``operator`` (until the operator resumes) or ``quorum`` (until banks return).
        expected_rounds: the algorithm's own estimate, for progress.
        progress: what the algorithm says about itself: done, total, metrics.
    """

    __tablename__ = "trainings"
    __table_args__ = (Index("ix_trainings_state", "state"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    plan_name: Mapped[str] = mapped_column(String(63), index=True)
    plan_digest: Mapped[str] = mapped_column(String(64))
    plan_json: Mapped[str] = mapped_column(Text, deferred=True)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text, default="")
    attempt: Mapped[int] = mapped_column(default=0)
    roster_json: Mapped[str | None] = mapped_column(Text, deferred=True)
    roster_digest: Mapped[str | None] = mapped_column(String(64))
    round: Mapped[int] = mapped_column(default=0)
    away: Mapped[int] = mapped_column(default=0)
    history: Mapped[str | None] = mapped_column(String(64))
    deadline_at: Mapped[float | None]
    pause: Mapped[str | None] = mapped_column(String(20))
    model_digest: Mapped[str | None] = mapped_column(String(64))
    model_blob: Mapped[str | None] = mapped_column(String(200))
    model_sha256: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(String(100), default="")
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    swept_at: Mapped[float | None]

    @property
    def status(self) -> TrainingState:
        """The state as an enum."""
        return TrainingState(self.state)

    @property
    def plan(self) -> Plan:
        """The plan that every bank accepted."""
        return Plan.model_validate_json(self.plan_json)

    @property
    def roster(self) -> Roster | None:
        """The roster of the present attempt, once it is fixed."""
        return None if self.roster_json is None else Roster.model_validate_json(self.roster_json)


class TrainingMember(Base):
    """A bank that was invited.

    Attributes:
        answer: ``pending``, ``accepted`` or ``refused``.
        on_roster: on the roster of the present attempt.
        away_since: when it missed a deadline; None while it is counted on.
        misses: deadlines missed since it last answered.
        complaint: why it refuses to go on, in its own words.
        model_digest: the digest of the model that it derived itself.
    """

    __tablename__ = "training_members"
    __table_args__ = (Index("ix_training_members_node", "node", "farewell_at"),)

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id"), primary_key=True)
    node: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    signing_key: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(String(10), default="pending")
    acceptance: Mapped[str | None] = mapped_column(Text, deferred=True)
    refusal: Mapped[str | None] = mapped_column(Text)
    on_roster: Mapped[bool] = mapped_column(default=False)
    away_since: Mapped[float | None]
    misses: Mapped[int] = mapped_column(default=0)
    complaint: Mapped[str | None] = mapped_column(Text)
    model_statement: Mapped[str | None] = mapped_column(Text, deferred=True)
    model_digest: Mapped[str | None] = mapped_column(String(64))
    farewell_at: Mapped[float | None]


class CeremonyStep(Base):
    """A member's deal and receipt in one attempt at the key ceremony."""

    __tablename__ = "ceremony_steps"

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str] = mapped_column(String(36), primary_key=True)
    deal: Mapped[str | None] = mapped_column(Text)
    receipt: Mapped[str | None] = mapped_column(Text)


class SealedMessageRow(Base):
    """What a dealer sealed to a recipient: relayed, never opened here."""

    __tablename__ = "ceremony_sealed"

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    dealer: Mapped[str] = mapped_column(String(36), primary_key=True)
    recipient: Mapped[str] = mapped_column(String(36), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(ByteCount)
    inline: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    blob: Mapped[str | None] = mapped_column(String(200))


class TrainingEventRow(Base):
    """What happened, in order, for the operator: who missed what, why it paused, who complained."""

    __tablename__ = "training_events"
    __table_args__ = (Index("ix_training_events_training", "training", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    training: Mapped[str] = mapped_column(ForeignKey("trainings.id"))
    at: Mapped[float]
    kind: Mapped[str] = mapped_column(String(40))
    node: Mapped[str | None] = mapped_column(String(36))
    round: Mapped[int | None]
    detail: Mapped[str] = mapped_column(Text, default="")
