"""The addresses at which banks take part in rounds; see docs/protocol.md, section 2."""

from __future__ import annotations

import crypto
from consortium.http.call import Call
from consortium.http.route import Access, Routes, WaitQuery
from consortium.long_poll import accepted
from consortium.rounds.protection import RoundBodies, bodies_of
from consortium.rounds.service import (
    Body,
    accept_contribution,
    accept_share,
    accept_vote,
    require_assignment,
    require_round,
)
from consortium.rounds.tables import Round
from consortium.stored_body import StoredBody
from consortium.trainings.errors import ShareMalformed, TrainingMissing, WrongRound
from consortium.trainings.moves import parse_plan
from consortium.trainings.tables import Training
from consortium.work import applied_round
from protocol.ids import uuid_bytes
from protocol.messages import Accepted, AppliedRound
from protocol.statements import SignedStatement

routes = Routes("rounds")
_ROUND = "/v1/trainings/{training}/rounds/{round}"


@routes.add(
    "PUT", f"{_ROUND}/contribution", access=Access.NODE, binary=True, signed=True, query=WaitQuery, response=Accepted
)
def put_contribution(call: Call) -> Accepted:
    """Send this bank's contribution to a round."""
    body, statement = _signed_upload(call)
    bodies, _ = _find_bodies(call)
    # A small one is checked at once; a large one by a worker.
    checked = body.inline is not None and len(body.inline) == bodies.message_bytes
    if body.inline is not None and checked:
        bodies.check_contribution(call.node, body.inline)
    with call.runtime.act("rounds.accept_contribution") as (s, effects, now):
        accept_contribution(
            s, call.path["training"], call.node, call.number("round"), signed=statement, body=body, validated=checked,
            effects=effects, now=now,
        )  # fmt: skip
    return accepted(call.runtime, call.node, call.query.wait)


def _signed_upload(call: Call) -> tuple[Body, SignedStatement]:
    if call.upload is None or call.statement is None:
        raise ValueError("the route declares a signed binary body")
    return call.upload, call.statement


def _find_bodies(call: Call) -> tuple[RoundBodies, Round]:
    training_id, index = call.path["training"], call.number("round")
    with call.runtime.db.reading("rounds.find") as s:
        training = s.get(Training, training_id)
        if training is None:
            raise TrainingMissing(training_id)
        row, _ = require_round(s, training, call.node, index)
        return bodies_of(training, parse_plan(training.plan_json), row), row


@routes.add("PUT", f"{_ROUND}/vote", access=Access.NODE, request=SignedStatement, query=WaitQuery, response=Accepted)
def put_vote(call: Call) -> Accepted:
    """Vote for the contributor set of a round (agreement)."""
    with call.runtime.act("rounds.accept_vote") as (s, effects, now):
        accept_vote(
            s, call.path["training"], call.node, call.number("round"), signed=call.body, effects=effects, now=now
        )
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add(
    "PUT", f"{_ROUND}/shares/{{assignment}}", access=Access.NODE, binary=True, signed=True, query=WaitQuery,
    response=Accepted,
)  # fmt: skip
def put_share(call: Call) -> Accepted:
    """Send this bank's decryption share for the pieces assigned to it."""
    body, statement = _signed_upload(call)
    training_id, index, number = call.path["training"], call.number("round"), call.number("assignment")
    bodies, row = _find_bodies(call)
    with call.runtime.db.reading("rounds.find_assignment") as s:
        pieces = require_assignment(s, training_id, call.node, index, number).pieces
    _check_share(call, bodies, row.contributors or [], pieces, body)
    with call.runtime.act("rounds.accept_share") as (s, effects, now):
        accept_share(s, training_id, call.node, index, number, signed=statement, body=body, effects=effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)


def _check_share(call: Call, bodies: RoundBodies, contributors: list[str], pieces: list[int], body: Body) -> None:
    """A small share whole; of a large one the header, since the combination checks every residue."""
    where = f"share {call.path['assignment']} for round {call.path['round']}"
    if bodies.round_id is None:
        raise WrongRound(where, expected="a round under encryption", got="one in the clear")
    banks = [uuid_bytes(bank) for bank in contributors]
    try:
        if body.inline is not None:
            crypto.check_share(bodies.round_id, uuid_bytes(call.node), banks, pieces, body.inline)
            return
        header = crypto.read_header(StoredBody(None, body.blob).read(call.runtime.blobs, 0, crypto.HEADER_BYTES))
    except crypto.CryptoError as error:
        raise ShareMalformed(where, expected="a valid share for this assignment", got=str(error)) from error
    named = (header.kind, header.training, header.round, header.sender, header.contributors_digest, header.pieces)
    wanted = (
        crypto.Kind.SHARE, bodies.round_id.training, bodies.round_id.round, uuid_bytes(call.node),
        crypto.contributors_digest(banks), tuple(pieces),
    )  # fmt: skip
    if named != wanted:
        raise ShareMalformed(where, expected="a header of this round, contributor set and assignment", got="another")


@routes.add("GET", f"{_ROUND}/applied", access=Access.NODE, response=AppliedRound)
def get_applied(call: Call) -> AppliedRound:
    """A finished round, as everyone applies it."""
    training_id, index = call.path["training"], call.number("round")
    with call.runtime.db.reading("rounds.applied") as s:
        training = s.get(Training, training_id)
        if training is None:
            raise TrainingMissing(training_id)
        require_round(s, training, call.node, index)
        found = applied_round(s, training, index)
    if found is None:
        raise WrongRound(f"round {index} of training {training_id}", expected="a round that is applied", got="not yet")
    return found


@routes.add("GET", f"{_ROUND}/aggregate", access=Access.NODE, binary_response=True)
def get_aggregate(call: Call) -> bytes:
    """The published sum of a round."""
    training_id, index = call.path["training"], call.number("round")
    with call.runtime.db.reading("rounds.aggregate") as s:
        training = s.get(Training, training_id)
        if training is None:
            raise TrainingMissing(training_id)
        row, _ = require_round(s, training, call.node, index)
        if row.aggregate_digest is None:
            raise WrongRound(f"round {index} of training {training_id}", expected="an applied round", got=row.state)
        stored = StoredBody(row.aggregate_inline, row.aggregate_blob)
    return stored.read(call.runtime.blobs)
