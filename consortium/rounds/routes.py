"""The addresses at which banks take part in rounds; see docs/protocol.md, section 2."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import undefer

import crypto
from consortium.http.call import Call
from consortium.http.route import Access, Routes, WaitQuery
from consortium.long_poll import accepted
from consortium.rounds.facts import (
    RoundFacts,
    applied_round,
    assigned_pieces,
    find_facts,
    fixed_contributors,
)
from consortium.rounds.protection import RoundBodies
from consortium.rounds.service import (
    Body,
    accept_contribution,
    accept_share,
    accept_vote,
    check_contribution_statement,
    check_share_statement,
)
from consortium.rounds.tables import Round
from consortium.stored_body import StoredBody
from consortium.trainings.errors import ShareMalformed, WrongRound
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
    facts = _find_facts(call)
    check_contribution_statement(facts, call.node, statement, body)
    if body.held is not None:  # a small one is checked at once, a large one by a worker
        facts.bodies.check_contribution(call.node, body.held)
    ticket = call.runtime.notifier.ticket(call.node)
    accept_contribution(call.runtime, facts, call.node, signed=statement, body=body, validated=body.held is not None)
    return accepted(call.runtime, call.node, call.query.wait, ticket)


def _signed_upload(call: Call) -> tuple[Body, SignedStatement]:
    if call.upload is None or call.statement is None:
        raise ValueError("the route declares a signed binary body")
    return call.upload, call.statement


def _find_facts(call: Call) -> RoundFacts:
    training, index = call.path["training"], call.number("round")
    facts = find_facts(call.runtime.db, training, index)
    facts.require_member(call.node)
    return facts


@routes.add("PUT", f"{_ROUND}/vote", access=Access.NODE, request=SignedStatement, query=WaitQuery, response=Accepted)
def put_vote(call: Call) -> Accepted:
    """Vote for the contributor set of a round (agreement)."""
    facts = _find_facts(call)
    with call.runtime.act("rounds.accept_vote") as (s, effects, now):
        accept_vote(s, facts, call.node, signed=call.body, effects=effects, now=now)
    return accepted(call.runtime, call.node, call.query.wait)


@routes.add(
    "PUT", f"{_ROUND}/shares/{{assignment}}", access=Access.NODE, binary=True, signed=True, query=WaitQuery,
    response=Accepted,
)  # fmt: skip
def put_share(call: Call) -> Accepted:
    """Send this bank's decryption share for the pieces assigned to it."""
    body, statement = _signed_upload(call)
    facts, number = _find_facts(call), call.number("assignment")
    pieces = assigned_pieces(call.runtime.db, facts, call.node, number)
    contributors = fixed_contributors(call.runtime.db, facts)
    check_share_statement(facts, call.node, contributors, pieces, signed=statement, body=body)
    _check_share(call, facts.bodies, contributors, pieces, body)
    ticket = call.runtime.notifier.ticket(call.node)
    accept_share(call.runtime, facts, call.node, number, signed=statement, body=body)
    return accepted(call.runtime, call.node, call.query.wait, ticket)


def _check_share(
    call: Call, bodies: RoundBodies, contributors: Sequence[str], pieces: Sequence[int], body: Body
) -> None:
    """A small share whole; of a large one the header: `consortium.rounds.opening` checks the rest as it reads it."""
    where = f"share {call.path['assignment']} for round {call.path['round']}"
    if bodies.round_id is None:
        raise WrongRound(where, expected="a round under encryption", got="one in the clear")
    banks = [uuid_bytes(bank) for bank in contributors]
    try:
        if body.held is not None:
            crypto.check_share(bodies.round_id, uuid_bytes(call.node), banks, pieces, body.held)
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
    _find_facts(call)
    found = applied_round(call.runtime.db, training_id, index)
    if found is None:
        raise WrongRound(f"round {index} of training {training_id}", expected="a round that is applied", got="not yet")
    return found


@routes.add("GET", f"{_ROUND}/aggregate", access=Access.NODE, binary_response=True)
def get_aggregate(call: Call) -> bytes:
    """The published sum of a round."""
    training_id, index = call.path["training"], call.number("round")
    _find_facts(call)
    with call.runtime.db.reading("rounds.aggregate") as s:
        row = s.get_one(Round, (training_id, index), options=[undefer(Round.aggregate_inline)])
        if row.aggregate_digest is None:
            raise WrongRound(f"round {index} of training {training_id}", expected="an applied round", got=row.state)
        stored = StoredBody(row.aggregate_inline, row.aggregate_blob)
    return stored.read(call.runtime.blobs)
