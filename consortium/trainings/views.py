"""What an operator sees of a training: progress, banks, time left, where the time goes, events."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consortium.rounds.tables import Contribution, Round
from consortium.trainings.errors import TrainingMissing
from consortium.trainings.moves import members_of, parse_plan
from consortium.trainings.tables import Training, TrainingEventRow
from protocol.ids import DigestHex, Name, UUIDText
from protocol.plan import ProtectionLevel
from protocol.statements import WireModel
from protocol.states import RoundState, TrainingState

#: Rounds whose speed the time left is reckoned from.
RECENT_ROUNDS = 20


class BankView(WireModel):
    """A bank in a training.

    Attributes:
        standing: pending, refused, struck, taking_part, away, complaining, or done (its keys are destroyed).
        detail: its reason, if it gave one.
        answered: whether it has done its part of the present step.
    """

    node: UUIDText
    name: Name
    standing: str
    detail: str = ""
    answered: bool = False


class RoundView(WireModel):
    """The round that is open."""

    index: int
    query: str
    values: int
    state: RoundState
    answered: int
    expected: int
    deadline_in_s: float


class TrainingView(WireModel):
    """A training.

    Attributes:
        version: changes with everything that is worth showing.
        progress: what the algorithm says: done, total, and metrics where it has them.
        eta_s: seconds until the rounds are done, reckoned from the latest ones; None while that is not known.
        timings: seconds by phase, summed over the applied rounds.
        bytes_received: contributions and shares.
    """

    training: UUIDText
    version: str
    plan: Name
    plan_digest: DigestHex
    protection: ProtectionLevel
    state: TrainingState
    reason: str
    round: int
    progress: dict[str, float]
    eta_s: float | None
    banks: tuple[BankView, ...]
    open_round: RoundView | None
    timings: dict[str, float]
    bytes_received: int
    model: DigestHex | None
    created_at: float
    started_at: float | None
    ended_at: float | None


class TrainingList(WireModel):
    """Trainings, newest first."""

    trainings: tuple[TrainingView, ...]


class EventView(WireModel):
    """Something that happened."""

    id: int
    at: float
    kind: str
    node: UUIDText | None
    round: int | None
    detail: str


class EventList(WireModel):
    """Events in order."""

    events: tuple[EventView, ...]


def view_of(s: Session, training_id: str, *, now: float) -> TrainingView:
    """A training as the operator sees it.

    Raises:
        TrainingMissing: there is none.
    """
    training = s.get(Training, training_id)
    if training is None:
        raise TrainingMissing(training_id)
    plan = parse_plan(training.plan_json)
    row = s.get(Round, (training_id, training.round))
    answered = _answered(s, row)
    banks = _banks(s, training, answered)
    open_round = None
    if row is not None and row.status is not RoundState.APPLIED and not training.status.ended:
        expected = sum(bank.standing in {"taking_part", "away"} for bank in banks)
        open_round = RoundView(
            index=row.index, query=row.query_name, values=row.length, state=row.status, answered=len(answered),
            expected=expected, deadline_in_s=max(0.0, row.deadline_at - now),
        )  # fmt: skip
    latest = s.scalar(select(func.max(TrainingEventRow.id)).where(TrainingEventRow.training == training_id)) or 0
    row_state = "-" if row is None else f"{row.state}{len(answered)}"
    return TrainingView(
        training=training.id, version=f"{training.state}.{training.round}.{row_state}.{latest}",
        plan=training.plan_name, plan_digest=training.plan_digest, protection=plan.protection.level,
        state=training.status, reason=training.reason, round=training.round, progress=training.progress,
        eta_s=_eta(s, training), banks=banks, open_round=open_round, timings=_timings(s, training_id),
        bytes_received=int(s.scalar(select(func.sum(Round.bytes_in)).where(Round.training == training_id)) or 0),
        model=training.model_digest if training.status is TrainingState.COMPLETED else None,
        created_at=training.created_at, started_at=training.started_at, ended_at=training.ended_at,
    )  # fmt: skip


def _answered(s: Session, row: Round | None) -> set[str]:
    if row is None or row.status is RoundState.APPLIED:
        return set()
    return set(
        s.scalars(
            select(Contribution.node).where(Contribution.training == row.training, Contribution.round == row.index)
        )
    )


def _banks(s: Session, training: Training, answered: set[str]) -> tuple[BankView, ...]:
    views = []
    for member in members_of(s, training.id):
        standing, detail = "taking_part", ""
        if member.answer == "refused":
            standing, detail = "refused", member.refusal or ""
        elif member.farewell_at is not None:
            standing = "done"
        elif member.complaint is not None:
            standing, detail = "complaining", member.complaint
        elif member.answer == "pending":
            standing = "pending"
        elif training.roster_json is not None and not member.on_roster:
            standing = "struck"
        elif member.away_since is not None:
            standing = "away"
        views.append(
            BankView(
                node=member.node, name=member.name, standing=standing, detail=detail,
                answered=member.node in answered or member.model_digest is not None,
            )
        )  # fmt: skip
    return tuple(sorted(views, key=lambda view: view.name))


def _eta(s: Session, training: Training) -> float | None:
    """From the speed of the latest rounds and what the algorithm says is left; it may count other units than rounds."""
    done, total = training.progress.get("done", 0.0), training.progress.get("total", 0.0)
    if (
        training.status not in {TrainingState.RUNNING, TrainingState.PAUSED}
        or training.round < 2
        or not done
        or not total
    ):
        return None
    first = max(0, training.round - RECENT_ROUNDS)
    opened = s.scalar(select(Round.opened_at).where(Round.training == training.id, Round.index == first))
    applied = s.scalar(select(Round.applied_at).where(Round.training == training.id, Round.index == training.round - 1))
    if opened is None or applied is None:
        return None
    a_round = (applied - opened) / (training.round - first)
    return max(0.0, (total - done) * training.round / done * a_round)


def _timings(s: Session, training_id: str) -> dict[str, float]:
    """Where the time of the applied rounds went, in seconds."""
    found = s.execute(
        select(
            func.sum(Round.fixed_at - Round.opened_at),
            func.sum(Round.shares_at - Round.fixed_at),
            func.sum(Round.applied_at - Round.shares_at),
        ).where(Round.training == training_id, Round.applied_at.is_not(None))
    ).one()
    names = ("collecting_s", "shares_s", "opening_s")
    return {name: float(value) for name, value in zip(names, found, strict=True) if value is not None}


def list_views(s: Session, *, plan: str | None, limit: int, now: float) -> TrainingList:
    """The newest trainings, of one plan if it is named."""
    query = select(Training.id).order_by(Training.created_at.desc(), Training.id).limit(limit)
    if plan is not None:
        query = query.where(Training.plan_name == plan)
    return TrainingList(trainings=tuple(view_of(s, training_id, now=now) for training_id in s.scalars(query)))


def list_events(s: Session, training_id: str, *, after: int, limit: int) -> EventList:
    """What happened, in order."""
    if s.get(Training, training_id) is None:
        raise TrainingMissing(training_id)
    rows = s.scalars(
        select(TrainingEventRow)
        .where(TrainingEventRow.training == training_id, TrainingEventRow.id > after)
        .order_by(TrainingEventRow.id)
        .limit(limit)
    )
    return EventList(
        events=tuple(
            EventView(id=row.id, at=row.at, kind=row.kind, node=row.node, round=row.round, detail=row.detail)
            for row in rows
        )
    )
