"""The operator's addresses of trainings: start, watch, pause, resume, cancel."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy.orm import Session

from consortium.http.call import Call
from consortium.http.route import Access, Query
from consortium.members.service import active_nodes
from consortium.plans.service import find_plan
from consortium.trainings.node_routes import routes
from consortium.trainings.service import (
    Invitee,
    cancel_training,
    pause_training,
    resume_training,
    start_training,
)
from consortium.trainings.views import EventList, TrainingList, TrainingView, list_events, list_views, view_of
from protocol.ids import Name, UUIDText
from protocol.statements import WireModel

__all__ = ["routes"]

_TRAINING = "/v1/trainings/{training}"


class StartRequest(WireModel):
    """Starts a training of a plan."""

    plan: Name


class Because(WireModel):
    """Why the operator does it; stands in the record and before the banks."""

    reason: str = Field(default="", max_length=500)


class ListQuery(Query):
    """`?plan=NAME&limit=N`: the newest trainings."""

    plan: Name | None = None
    limit: int = Field(default=50, ge=1, le=1000)


class EventsQuery(Query):
    """`?after=ID&limit=N`: events that came after one."""

    after: int = Field(default=0, ge=0, le=2**53)
    limit: int = Field(default=200, ge=1, le=1000)


class WatchQuery(Query):
    """`?wait=SECONDS&seen=VERSION`: the answer waits until the view has another version."""

    wait: float | None = Field(default=None, ge=0, le=300)
    seen: str | None = Field(default=None, max_length=64)


@routes.add("GET", "/v1/trainings", access=Access.VIEWER, query=ListQuery, response=TrainingList)
def list_all(call: Call) -> TrainingList:
    """Lists trainings, newest first."""
    with call.runtime.db.reading("trainings.list") as s:
        return list_views(s, plan=call.query.plan, limit=call.query.limit, now=call.runtime.clock.now())


@routes.add(
    "POST", "/v1/trainings", access=Access.OPERATOR, request=StartRequest, response=TrainingView, status=201
)  # fmt: skip
def start(call: Call) -> TrainingView:
    """Starts a training of a plan: every node of its cohort is invited."""
    with call.runtime.act("trainings.start") as (s, effects, now):
        plan = find_plan(s, call.body.plan)
        nodes = [Invitee(row.id, row.name, row.signing_key) for row in active_nodes(s)]
        training = start_training(s, plan, nodes, effects, by=call.actor, now=now)
        s.flush()
        return view_of(s, training.id, now=now)


@routes.add("GET", _TRAINING, access=Access.VIEWER, query=WatchQuery, response=TrainingView)
def show(call: Call) -> TrainingView:
    """Shows a training: state, rounds, banks, metric so far, time left; `?wait=` waits for a change."""
    training_id, runtime = call.path["training"], call.runtime
    ticket = runtime.notifier.ticket(training_id)
    with runtime.db.reading("trainings.show") as s:
        view = view_of(s, training_id, now=runtime.clock.now())
    if call.query.wait and call.query.seen == view.version:
        patience = min(call.query.wait, call.settings.max_wait_s)
        runtime.notifier.wait(training_id, ticket, patience)
        with runtime.db.reading("trainings.show") as s:
            view = view_of(s, training_id, now=runtime.clock.now())
    return view


@routes.add("GET", f"{_TRAINING}/events", access=Access.VIEWER, query=EventsQuery, response=EventList)
def events(call: Call) -> EventList:
    """Lists what happened in a training, in order."""
    with call.runtime.db.reading("trainings.events") as s:
        return list_events(s, call.path["training"], after=call.query.after, limit=call.query.limit)


@routes.add("POST", f"{_TRAINING}/pause", access=Access.OPERATOR, request=Because, response=TrainingView)
def pause(call: Call) -> TrainingView:
    """Pauses a running training; no deadline passes meanwhile."""
    with call.runtime.act("trainings.pause") as (s, effects, now):
        reason = call.body.reason or f"paused by {call.actor}"
        return _view(s, pause_training(s, call.path["training"], effects, now=now, reason=reason).id, now)


@routes.add("POST", f"{_TRAINING}/resume", access=Access.OPERATOR, request=Because, response=TrainingView)
def resume(call: Call) -> TrainingView:
    """Resumes a paused training; deadlines start anew."""
    with call.runtime.act("trainings.resume") as (s, effects, now):
        return _view(s, resume_training(s, call.path["training"], effects, now=now).id, now)


@routes.add("POST", f"{_TRAINING}/cancel", access=Access.OPERATOR, request=Because, response=TrainingView)
def cancel(call: Call) -> TrainingView:
    """Ends a training before its time; the banks destroy its keys."""
    with call.runtime.act("trainings.cancel") as (s, effects, now):
        reason = call.body.reason or f"cancelled by {call.actor}"
        return _view(s, cancel_training(s, call.path["training"], effects, now=now, reason=reason).id, now)


def _view(s: Session, training_id: UUIDText, now: float) -> TrainingView:
    s.flush()
    return view_of(s, training_id, now=now)
