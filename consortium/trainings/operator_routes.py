"""The addresses at which operators start, watch and steer trainings."""

from __future__ import annotations

import time

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.http.call import Call
from consortium.http.route import Access, Query, Routes
from consortium.members.service import active_nodes
from consortium.plans.service import find_plan
from consortium.rounds.tables import Round
from consortium.trainings import service
from consortium.trainings.errors import TrainingMissing
from consortium.trainings.moves import members_of
from consortium.trainings.progress import EventView, RoundView, TrainingView, events_of, round_views, training_view
from consortium.trainings.service import Invitee
from consortium.trainings.tables import Training
from protocol.ids import Name, Sentence
from protocol.statements import WireModel

routes = Routes("trainings")
_TRAINING = "/v1/trainings/{training}"
_LOOK_EVERY_S = 0.25


class StartRequest(WireModel):
    """Which plan to train."""

    plan: Name


class TrainingList(WireModel):
    """Trainings, newest first."""

    trainings: tuple[TrainingView, ...]


class RoundList(WireModel):
    """Rounds of a training, in order."""

    rounds: tuple[RoundView, ...]


class EventList(WireModel):
    """What happened in a training, in order."""

    events: tuple[EventView, ...]


class Reason(WireModel):
    """Why an operator steps in; the banks see it."""

    reason: Sentence = ""


class ListQuery(Query):
    """`?limit=N`."""

    limit: int = Field(default=50, ge=1, le=500)


class PageQuery(Query):
    """`?after=N&limit=N`."""

    after: int = Field(default=-1, ge=-1, le=1 << 53)
    limit: int = Field(default=500, ge=1, le=5000)


class EventsQuery(PageQuery):
    """`?after=N&limit=N&newest=true`: with `newest` the last ones, in order; otherwise the first after one."""

    newest: bool = False


class WatchQuery(Query):
    """`?wait=S`: answer when the training moves, at the latest after so many seconds."""

    wait: float | None = Field(default=None, ge=0, le=60)


@routes.add("POST", "/v1/trainings", access=Access.OPERATOR, request=StartRequest, response=TrainingView, status=201)
def start(call: Call) -> TrainingView:
    """Starts a training: every bank of the plan's cohort is invited."""
    with call.runtime.act("trainings.start") as (s, effects, now):
        nodes = [Invitee(row.id, row.name, row.signing_key) for row in active_nodes(s)]
        plan = find_plan(s, call.body.plan, to_train=True)
        training = service.start_training(s, plan, nodes, effects, by=call.actor, now=now)
        s.flush()
        return training_view(s, training, now=now)


@routes.add("GET", "/v1/trainings", access=Access.VIEWER, query=ListQuery, response=TrainingList)
def list_trainings(call: Call) -> TrainingList:
    """Lists the trainings, newest first."""
    now = call.runtime.clock.now()
    with call.runtime.db.reading("trainings.list") as s:
        rows = s.scalars(select(Training).order_by(Training.created_at.desc(), Training.id).limit(call.query.limit))
        return TrainingList(trainings=tuple(training_view(s, row, now=now) for row in rows))


@routes.add("GET", _TRAINING, access=Access.NODE_OR_VIEWER, query=WatchQuery, response=TrainingView)
def show(call: Call) -> TrainingView:
    """Shows a training; with `wait` as soon as it has moved."""
    training_id, notifier = call.path["training"], call.runtime.notifier
    ticket = notifier.ticket(training_id)
    before = _view(call)
    if call.query.wait is None or before.state.ended:
        return before
    until = time.monotonic() + call.query.wait
    while (left := until - time.monotonic()) > 0:
        notifier.wait(training_id, ticket, min(left, notifier.patience_s))
        time.sleep(min(_LOOK_EVERY_S, left))  # rounds may be short; nobody can read that fast
        ticket = notifier.ticket(training_id)
        view = _view(call)
        if _position(view) != _position(before):
            return view
    return _view(call)


def _position(view: TrainingView) -> tuple[object, ...]:
    current = view.current
    answered = None if current is None else (current.state, current.answered, current.shares)
    return view.state, view.reason, view.rounds_done, answered, view.banks


def _view(call: Call) -> TrainingView:
    with call.runtime.db.reading("trainings.show") as s:
        return training_view(s, _found(s, call), now=call.runtime.clock.now())


def _found(s: Session, call: Call) -> Training:
    training = s.get(Training, call.path["training"])
    if training is None:
        raise TrainingMissing(call.path["training"])
    return training


@routes.add("GET", f"{_TRAINING}/events", access=Access.VIEWER, query=EventsQuery, response=EventList)
def events(call: Call) -> EventList:
    """What happened in a training, in order."""
    with call.runtime.db.reading("trainings.events") as s:
        query = call.query
        found = events_of(s, _found(s, call).id, after=query.after, limit=query.limit, newest=query.newest)
    return EventList(events=tuple(found))


@routes.add("GET", f"{_TRAINING}/rounds", access=Access.VIEWER, query=PageQuery, response=RoundList)
def rounds(call: Call) -> RoundList:
    """The rounds of a training, with where their time went."""
    now = call.runtime.clock.now()
    with call.runtime.db.reading("trainings.rounds") as s:
        training_id = _found(s, call).id
        members = members_of(s, training_id)
        rows = s.scalars(
            select(Round)
            .where(Round.training == training_id, Round.index > call.query.after)
            .order_by(Round.index)
            .limit(call.query.limit)
        ).all()
        return RoundList(rounds=round_views(s, training_id, rows, members, now=now))


@routes.add("POST", f"{_TRAINING}/pause", access=Access.OPERATOR, request=Reason, response=TrainingView)
def pause(call: Call) -> TrainingView:
    """Pauses a training until an operator resumes it."""
    with call.runtime.act("trainings.pause") as (s, effects, now):
        reason = f"paused by {call.actor}" + (f": {call.body.reason}" if call.body.reason else "")
        return training_view(
            s, service.pause_training(s, call.path["training"], effects, now=now, reason=reason), now=now
        )


@routes.add("POST", f"{_TRAINING}/resume", access=Access.OPERATOR, response=TrainingView)
def resume(call: Call) -> TrainingView:
    """Resumes a paused training."""
    with call.runtime.act("trainings.resume") as (s, effects, now):
        return training_view(s, service.resume_training(s, call.path["training"], effects, now=now), now=now)


@routes.add("POST", f"{_TRAINING}/cancel", access=Access.OPERATOR, request=Reason, response=TrainingView)
def cancel(call: Call) -> TrainingView:
    """Cancels a training for good; the banks destroy its keys."""
    with call.runtime.act("trainings.cancel") as (s, effects, now):
        reason = f"cancelled by {call.actor}" + (f": {call.body.reason}" if call.body.reason else "")
        return training_view(
            s, service.cancel_training(s, call.path["training"], effects, now=now, reason=reason), now=now
        )
