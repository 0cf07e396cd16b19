"""The addresses at which banks answer invitations, make keys, confirm the model and say farewell (docs/protocol.md)."""

from __future__ import annotations

from consortium.http.call import Call
from consortium.http.route import Access, Routes, WaitQuery
from consortium.long_poll import accepted, await_work, note_presence
from consortium.stored_body import StoredBody
from consortium.trainings.complaints import accept_complaint
from consortium.trainings.service import (
    accept_deal,
    accept_farewell,
    accept_invitation,
    accept_model,
    accept_receipt,
    accept_sealed,
    find_sealed,
    refuse_invitation,
)
from protocol.messages import Accepted, Complaint, Refusal, Work
from protocol.sealed_message import split_sealed
from protocol.statements import SignedStatement

routes = Routes("trainings")
_TRAINING = "/v1/trainings/{training}"
_CEREMONY = f"{_TRAINING}/ceremony/{{attempt}}"


@routes.add("GET", "/v1/work", access=Access.NODE, query=WaitQuery, response=Work)
def get_work(call: Call) -> Work:
    """Everything that this node owes; with `?wait=SECONDS` as soon as it owes anything."""
    note_presence(call.runtime, call.node)
    return await_work(call.runtime, call.node, call.query.wait or 0.0)


@routes.add(
    "PUT", f"{_TRAINING}/acceptance", access=Access.NODE, request=SignedStatement, query=WaitQuery, response=Accepted
)
def put_acceptance(call: Call) -> Accepted:
    """Take part in a training under exactly its plan."""
    with call.runtime.act("trainings.accept_invitation") as (s, effects, now):
        accept_invitation(s, call.path["training"], call.node, call.body, effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add("PUT", f"{_TRAINING}/refusal", access=Access.NODE, request=Refusal, query=WaitQuery, response=Accepted)
def put_refusal(call: Call) -> Accepted:
    """Take no part in a training, with the reason."""
    with call.runtime.act("trainings.refuse_invitation") as (s, effects, now):
        refuse_invitation(s, call.path["training"], call.node, call.body, effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add(
    "PUT", f"{_CEREMONY}/sealed/{{recipient}}", access=Access.NODE, binary=True, query=WaitQuery, response=Accepted
)
def put_sealed(call: Call) -> Accepted:
    """Send what is sealed to one recipient."""
    if call.upload is None:
        raise ValueError("the route declares a binary body")
    if call.upload.held is not None:
        split_sealed(call.upload.held)  # what is inside only its recipient can check
    with call.runtime.act("trainings.accept_sealed") as (s, _, _):
        accept_sealed(
            s, call.path["training"], call.node, call.number("attempt"), recipient=call.path["recipient"],
            body=call.upload,
        )  # fmt: skip
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add("GET", f"{_CEREMONY}/sealed/{{dealer}}", access=Access.NODE, binary_response=True)
def get_sealed(call: Call) -> bytes:
    """What a dealer sealed to the caller."""
    with call.runtime.db.reading("trainings.find_sealed") as s:
        row = find_sealed(s, call.path["training"], call.number("attempt"), call.path["dealer"], call.node)
        stored = StoredBody(row.inline, row.blob)
    return stored.read(call.runtime.blobs)


@routes.add("PUT", f"{_CEREMONY}/deal", access=Access.NODE, request=SignedStatement, query=WaitQuery, response=Accepted)
def put_deal(call: Call) -> Accepted:
    """Say what was dealt, once all of it has been sent."""
    with call.runtime.act("trainings.accept_deal") as (s, effects, now):
        accept_deal(
            s, call.path["training"], call.node, call.number("attempt"), signed=call.body, effects=effects, now=now
        )
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add(
    "PUT", f"{_CEREMONY}/receipt", access=Access.NODE, request=SignedStatement, query=WaitQuery, response=Accepted
)
def put_receipt(call: Call) -> Accepted:
    """Say that everything that was dealt to this bank is there and checked."""
    with call.runtime.act("trainings.accept_receipt") as (s, effects, now):
        accept_receipt(
            s, call.path["training"], call.node, call.number("attempt"), signed=call.body, effects=effects, now=now
        )
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add(
    "PUT", f"{_TRAINING}/model", access=Access.NODE, request=SignedStatement, query=WaitQuery, response=Accepted
)
def put_model(call: Call) -> Accepted:
    """Say which model this bank has derived itself."""
    with call.runtime.act("trainings.accept_model") as (s, effects, now):
        accept_model(s, call.path["training"], call.node, call.body, effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add("PUT", f"{_TRAINING}/farewell", access=Access.NODE, query=WaitQuery, response=Accepted)
def put_farewell(call: Call) -> Accepted:
    """Say that the training's keys are destroyed."""
    with call.runtime.act("trainings.accept_farewell") as (s, effects, now):
        accept_farewell(s, call.path["training"], call.node, effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add("PUT", f"{_TRAINING}/complaint", access=Access.NODE, request=Complaint, query=WaitQuery, response=Accepted)
def put_complaint(call: Call) -> Accepted:
    """Refuse to go on, with the reason, and with whose deal it is about if it is about one."""
    with call.runtime.act("trainings.accept_complaint") as (s, effects, now):
        accept_complaint(s, call.path["training"], call.node, call.body, effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)
