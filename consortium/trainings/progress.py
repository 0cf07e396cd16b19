"""What an operator sees of a training: how far it is, who has answered, how good it is, how long it will take."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.moves import members_of, plan_of
from consortium.trainings.tables import Training, TrainingEventRow, TrainingMember
from protocol.ids import DigestHex, Name, UUIDText
from protocol.plan import ProtectionLevel
from protocol.statements import WireModel
from protocol.states import RoundState, TrainingState

_RECENT_ROUNDS = 30


class BankView(WireModel):
    """A bank in a training. Times are seconds since the epoch.

    Attributes:
        answer: to the invitation: pending, accepted or refused.
        away_since: since when nothing waits for it; None while it is counted on.
        confirmed: whether it has derived the same model.
        complaint: why it refuses to go on.
    """

    node: UUIDText
    name: Name
    answer: str
    refusal: str
    on_roster: bool
    away_since: float | None
    confirmed: bool
    complaint: str


class RoundView(WireModel):
    """A round.

    Attributes:
        answered: banks whose contributions are here.
        expected: banks that are waited for, or have answered although they had been away.
        shares: decryption shares that are here, and asked for.
        seconds: by phase: collecting, decrypting, and the workers' own.
    """

    round: int
    state: RoundState
    query: str
    values: int
    answered: int
    expected: int
    shares: tuple[int, int]
    contributors: int
    bytes_in: int
    seconds: dict[str, float]


class TrainingView(WireModel):
    """A training.

    Attributes:
        protection: ckks, or none: in the clear.
        rounds_done: rounds applied.
        rounds_expected: the algorithm's own estimate, or as many as there were; None while it cannot tell.
        metrics: what the algorithm reports so far.
        seconds_left: an estimate from the rounds so far.
        current: the round that is open.
    """

    id: UUIDText
    plan: Name
    protection: ProtectionLevel
    state: TrainingState
    reason: str
    attempt: int
    rounds_done: int
    rounds_expected: int | None
    metrics: dict[str, float]
    seconds_left: float | None
    created_at: float
    created_by: str
    started_at: float | None
    ended_at: float | None
    deadline_at: float | None
    model: DigestHex | None
    bytes_in: int
    banks: tuple[BankView, ...]
    current: RoundView | None


class EventView(WireModel):
    """Something that happened."""

    id: int
    at: float
    kind: str
    node: str | None
    round: int | None
    detail: str


def training_view(s: Session, training: Training, *, now: float) -> TrainingView:
    """A training as operators see it."""
    members = members_of(s, training.id)
    row = s.get(Round, (training.id, training.round))
    expected = training.progress.get("rounds_expected")
    received = s.scalar(select(func.sum(Round.bytes_in)).where(Round.training == training.id))
    shown = [] if row is None or training.status.ended else [row]
    return TrainingView(
        id=training.id, plan=training.plan_name, protection=plan_of(training).protection.level, state=training.status,
        reason=training.reason, attempt=training.attempt, rounds_done=training.round,
        rounds_expected=None if expected is None else max(int(expected), training.round),
        metrics={name: value for name, value in training.progress.items() if name != "rounds_expected"},
        seconds_left=_seconds_left(s, training, expected), created_at=training.created_at,
        created_by=training.created_by, started_at=training.started_at, ended_at=training.ended_at,
        deadline_at=row.deadline_at if row is not None else training.deadline_at,
        model=training.model_digest, bytes_in=int(received or 0),
        banks=tuple(_bank(training, member) for member in members),
        current=next(iter(round_views(s, training.id, shown, members, now=now)), None),
    )  # fmt: skip


def _bank(training: Training, member: TrainingMember) -> BankView:
    return BankView(
        node=member.node, name=member.name, answer=member.answer, refusal=member.refusal or "",
        on_roster=member.on_roster, away_since=member.away_since,
        confirmed=member.model_digest is not None and member.model_digest == training.model_digest,
        complaint=member.complaint or "",
    )  # fmt: skip


def round_views(
    s: Session, training: str, rows: Sequence[Round], members: list[TrainingMember], *, now: float
) -> tuple[RoundView, ...]:
    """Rounds of a training, in order, as operators see them."""
    if not rows:
        return ()
    span = (rows[0].index, rows[-1].index)
    answered: dict[int, int] = dict(
        s.execute(
            select(Contribution.round, func.count())
            .where(
                Contribution.training == training, Contribution.round.between(*span), Contribution.state != "refused"
            )
            .group_by(Contribution.round)
        ).all()
    )
    shares = {
        (index, state): count
        for index, state, count in s.execute(
            select(Assignment.round, Assignment.state, func.count())
            .where(Assignment.training == training, Assignment.round.between(*span))
            .group_by(Assignment.round, Assignment.state)
        )
    }
    expected = sum(member.on_roster and member.away_since is None for member in members)
    views = []
    for row in rows:
        collected = row.fixed_at or row.applied_at or now
        seconds = {"collecting": collected - row.opened_at}
        if row.fixed_at is not None:
            seconds["decrypting"] = (row.applied_at or now) - row.fixed_at
        given, awaited = (shares.get((row.index, state), 0) for state in ("answered", "open"))
        here = answered.get(row.index, 0)
        views.append(
            RoundView(
                round=row.index, state=row.status, query=row.query_name, values=row.length,
                answered=here, expected=max(expected, here), shares=(given, given + awaited),
                contributors=len(row.contributors or ()), bytes_in=row.bytes_in, seconds=seconds | row.timings,
            )
        )  # fmt: skip
    return tuple(views)


def _seconds_left(s: Session, training: Training, expected: float | None) -> float | None:
    """The median time of the latest rounds, times those that are left."""
    if expected is None or training.status is not TrainingState.RUNNING:
        return None
    took = sorted(
        applied - opened
        for opened, applied in s.execute(
            select(Round.opened_at, Round.applied_at)
            .where(Round.training == training.id, Round.applied_at.is_not(None))
            .order_by(Round.index.desc())
            .limit(_RECENT_ROUNDS)
        )
        if applied is not None
    )
    return None if not took else max(0.0, took[len(took) // 2] * (expected - training.round))


def events_of(s: Session, training: str, *, after: int, limit: int, newest: bool = False) -> list[EventView]:
    """What happened in a training, in order, after an event's id: the first so many, or the newest."""
    order = TrainingEventRow.id.desc() if newest else TrainingEventRow.id
    rows = s.scalars(
        select(TrainingEventRow)
        .where(TrainingEventRow.training == training, TrainingEventRow.id > after)
        .order_by(order)
        .limit(limit)
    )
    return [
        EventView(id=row.id, at=row.at, kind=row.kind, node=row.node, round=row.round, detail=row.detail)
        for row in (reversed(rows.all()) if newest else rows)
    ]
