"""What a bank sends to a round: contribution, vote, share. The same bytes again get the same answer, others none."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.queue.port import Effects, TaskName
from consortium.rounds.protection import bodies_of
from consortium.rounds.tables import Assignment, Contribution, Round, VoteRow
from consortium.trainings.errors import (
    BodyMismatch,
    HistoryForked,
    MutationForbidden,
    NotOnRoster,
    TooLate,
    WrongRound,
    WrongState,
)
from consortium.trainings.moves import lock_training, mark_answered, parse_plan, record_event, roster_of
from consortium.trainings.settle import settle
from consortium.trainings.tables import Training, TrainingMember
from protocol.history import contributors_digest
from protocol.ids import NodeId
from protocol.roster import Roster
from protocol.signing import key_from_text, verify_statement
from protocol.statements import ContributionStatement, ShareStatement, SignedStatement, StatementT, Vote
from protocol.states import RoundState, TrainingState


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes that came with a request: in memory if they are few, else already in the blob store.

    Attributes:
        digest: SHA-256 in hex, computed while they were read.
        size_bytes: how many.
        inline: the bytes, if they are kept in the database.
        blob: their key in the blob store otherwise.
    """

    digest: str
    size_bytes: int
    inline: bytes | None = None
    blob: str | None = None


def verified(s: Session, training: str, node: str, signed: SignedStatement, kind: type[StatementT]) -> StatementT:
    """The statement, once it is of this kind, by this node's own key, about itself and this training.

    Raises:
        StatementInvalid: the signature does not hold.
        NotOnRoster: the node was not invited to this training.
        BodyMismatch: it names another node or training than the request.
    """
    member = s.get(TrainingMember, (training, node))
    if member is None:
        raise NotOnRoster(f"training {training}", expected="an invited bank", got=f"node {node}")
    statement = verify_statement(signed, kind, key_from_text(member.signing_key))
    named = (getattr(statement, "training", None), getattr(statement, "node", None))
    if named != (training, node):
        raise BodyMismatch("statement", expected="the training and node of the request", got="others")
    return statement


def require_round(s: Session, training: Training, node: str, index: int) -> tuple[Round, Roster]:
    """The round and the roster, for a member of it.

    Raises:
        NotOnRoster, WrongRound, WrongState: as they say.
    """
    where = f"round {index} of training {training.id}"
    if training.roster_json is None:
        raise WrongState(where, expected="a running training", got=training.state)
    roster = roster_of(training)
    if roster.member(node) is None:
        raise NotOnRoster(where, expected="a bank on the roster", got=f"node {node}")
    row = s.get(Round, (training.id, index))
    if row is None:
        raise WrongRound(where, expected=f"round {training.round}", got=f"round {index}")
    return row, roster


def accept_contribution(
    s: Session, training_id: str, node: str, index: int, *, signed: SignedStatement, body: Body, validated: bool,
    effects: Effects, now: float,
) -> None:  # fmt: skip
    """Takes a bank's contribution.

    1. the statement is the bank's, and names this round, its query and its history
    2. the bytes are the ones that it signs, of the round's length
    3. the bank has sent no other bytes; the contributor set is not fixed yet

    Args:
        s: inside a transaction.
        training_id: the training.
        node: who sends it.
        index: the round.
        signed: what it signed.
        body: what came with it.
        validated: the bytes were checked whole already; otherwise a worker does it.
        effects: what must follow.
        now: seconds since the epoch.
    """
    training = lock_training(s, training_id)
    where = f"contribution to round {index} of training {training_id}"
    statement = verified(s, training_id, node, signed, ContributionStatement)
    row, _ = require_round(s, training, node, index)
    # (1)
    if statement.round != index:
        raise WrongRound(where, expected=f"round {index}", got=f"round {statement.round}")
    if (statement.query, statement.history) != (row.query_digest, row.history):
        raise HistoryForked(where, expected="the query and history of the round", got="others")
    # (2)
    size = bodies_of(training, parse_plan(training.plan_json), row).message_bytes
    if (statement.digest, statement.size_bytes) != (body.digest, body.size_bytes) or body.size_bytes != size:
        raise BodyMismatch(where, expected=f"the {size} bytes that were signed", got=f"{body.size_bytes} bytes")
    # (3)
    before = s.get(Contribution, (training_id, index, node))
    if before is not None:
        if before.digest != body.digest:
            raise MutationForbidden(where, expected="the contribution sent before", got="other bytes")
        return
    require_live(training, where)
    if row.status is not RoundState.COLLECTING:
        raise TooLate(where, expected="a round that still collects", got=f"state {row.state}")
    s.add(
        Contribution(
            training=training_id, round=index, node=node, statement=signed.model_dump_json(), digest=body.digest,
            size_bytes=body.size_bytes, inline=body.inline, blob=body.blob,
            state="accepted" if validated else "received", received_at=now,
        )
    )  # fmt: skip
    row.bytes_in += body.size_bytes
    mark_answered(s, member_row(s, training_id, node), now=now)
    s.flush()
    if validated:
        settle(s, training, effects, now=now)
    else:
        effects.queue(TaskName.VALIDATE, training_id, index, node)


def require_live(training: Training, where: str) -> None:
    """Refuses what comes to a training that has ended or has no rounds yet."""
    if training.status not in {TrainingState.RUNNING, TrainingState.PAUSED}:
        raise WrongState(where, expected="a running training", got=training.state)


def member_row(s: Session, training: str, node: str) -> TrainingMember:
    """The bank's row in a training."""
    row = s.get(TrainingMember, (training, node))
    if row is None:
        raise NotOnRoster(f"training {training}", expected="an invited bank", got=f"node {node}")
    return row


def mark_validated(
    s: Session, training_id: str, index: int, node: str, *, refusal: str | None, effects: Effects, now: float
) -> None:
    """Writes down what the validation of a contribution has found, and goes on; does nothing the second time."""
    training = lock_training(s, training_id)
    contribution = s.get(Contribution, (training_id, index, node))
    if contribution is None or contribution.state != "received":
        return
    contribution.state = "accepted" if refusal is None else "refused"
    contribution.reason = refusal or ""
    if refusal is not None:
        record_event(s, training_id, "refused", now=now, node=node, round_index=index, detail=refusal)
    s.flush()
    settle(s, training, effects, now=now)


def accept_vote(
    s: Session, training_id: str, node: str, index: int, *, signed: SignedStatement, effects: Effects, now: float
) -> None:
    """Takes a committee member's vote for a contributor set."""
    training = lock_training(s, training_id)
    where = f"vote in round {index} of training {training_id}"
    vote = verified(s, training_id, node, signed, Vote)
    row, roster = require_round(s, training, node, index)
    if vote.round != index:
        raise WrongRound(where, expected=f"round {index}", got=f"round {vote.round}")
    if node not in roster.committee:
        raise NotOnRoster(where, expected="a committee member", got=f"node {node}")
    before = s.get(VoteRow, (training_id, index, node))
    text = signed.model_dump_json()
    if before is not None:
        if before.statement != text:
            raise MutationForbidden(where, expected="the vote sent before", got="another")
        return
    require_live(training, where)
    if row.status is not RoundState.DECRYPTING:
        raise TooLate(where, expected="a round whose contributor set is fixed and not yet opened", got=row.state)
    if list(vote.contributors) != row.contributors:
        raise BodyMismatch(where, expected="the round's contributor set", got="another")
    s.add(VoteRow(training=training_id, round=index, node=node, statement=text))
    mark_answered(s, member_row(s, training_id, node), now=now)
    s.flush()
    settle(s, training, effects, now=now)


def require_assignment(s: Session, training_id: str, node: str, index: int, number: int) -> Assignment:
    """The assignment that a share answers.

    Raises:
        WrongRound: there is none with this number for this node.
    """
    assignment = s.get(Assignment, (training_id, index, number))
    if assignment is None or assignment.node != node:
        where = f"share {number} for round {index} of training {training_id}"
        raise WrongRound(where, expected="an assignment of this bank", got="none")
    return assignment


def accept_share(
    s: Session, training_id: str, node: str, index: int, number: int, *, signed: SignedStatement, body: Body,
    effects: Effects, now: float,
) -> None:  # fmt: skip
    """Takes a decryption share; its residues were checked before.

    1. the statement is the member's, over the round's history and contributor set and the pieces assigned
    2. the bytes are the ones that it signs, of the round's length
    3. it has sent no other bytes, and the pieces are still asked of it
    """
    training = lock_training(s, training_id)
    where = f"share {number} for round {index} of training {training_id}"
    statement = verified(s, training_id, node, signed, ShareStatement)
    row, _ = require_round(s, training, node, index)
    assignment = require_assignment(s, training_id, node, index, number)
    # (1)
    if statement.round != index:
        raise WrongRound(where, expected=f"round {index}", got=f"round {statement.round}")
    named = contributors_digest([NodeId(bank) for bank in row.contributors or ()])
    if statement.history != row.history:
        raise HistoryForked(where, expected="the history of the round", got="another")
    if (statement.contributors, list(statement.pieces)) != (named, assignment.pieces):
        raise BodyMismatch(where, expected="the contributor set and the pieces assigned", got="others")
    # (2)
    size = bodies_of(training, parse_plan(training.plan_json), row).message_bytes
    if (statement.digest, statement.size_bytes) != (body.digest, body.size_bytes) or body.size_bytes != size:
        raise BodyMismatch(where, expected=f"the {size} bytes that were signed", got=f"{body.size_bytes} bytes")
    # (3)
    if assignment.digest is not None:
        if assignment.digest != body.digest:
            raise MutationForbidden(where, expected="the share sent before", got="other bytes")
        return
    mark_answered(s, member_row(s, training_id, node), now=now)
    if assignment.state != "open" or row.status is not RoundState.DECRYPTING:
        raise TooLate(where, expected="an assignment that is still open", got=f"state {assignment.state}")
    require_live(training, where)
    assignment.state, assignment.digest, assignment.size_bytes = "answered", body.digest, body.size_bytes
    assignment.inline, assignment.blob, assignment.statement = body.inline, body.blob, signed.model_dump_json()
    row.bytes_in += body.size_bytes
    s.flush()
    settle(s, training, effects, now=now)


def contributions_of(s: Session, row: Round) -> list[Contribution]:
    """The contributions of the fixed set U, in ascending order of node id."""
    return list(
        s.scalars(
            select(Contribution)
            .where(
                Contribution.training == row.training,
                Contribution.round == row.index,
                Contribution.node.in_(row.contributors or ()),
            )
            .order_by(Contribution.node)
        )
    )
