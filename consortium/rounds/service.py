"""What a bank sends to a round: contribution, vote, share. The same bytes again get the same answer, others none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.queue.port import Effects, Task, TaskName
from consortium.rounds import hot_path
from consortium.rounds.all_sent import fix_and_ask
from consortium.rounds.facts import RoundFacts, remember_fixed, remember_sent
from consortium.rounds.tables import Assignment, Contribution, Round, VoteRow
from consortium.runtime import Runtime
from consortium.trainings.errors import (
    BodyMismatch,
    HistoryForked,
    MutationForbidden,
    NotOnRoster,
    TooLate,
    WrongRound,
    WrongState,
)
from consortium.trainings.moves import lock_training, mark_answered, record_event
from consortium.trainings.settle import settle, settle_locked
from consortium.trainings.tables import Training, TrainingMember
from protocol.history import contributors_digest
from protocol.ids import NodeId
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
        held: the bytes, if they are still in memory, so that the request itself may check them.
    """

    digest: str
    size_bytes: int
    inline: bytes | None = None
    blob: str | None = None
    held: bytes | None = field(default=None, repr=False)


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


def accept_contribution(
    runtime: Runtime, facts: RoundFacts, node: str, *, signed: SignedStatement, body: Body, validated: bool
) -> None:
    """Takes a bank's contribution that `check_contribution_statement` has found in order.

    It is written down in one statement, without the training's lock. Only when nobody is left to wait for the round is
    settled; should the process die in between, the bank's next attempt or the reconciler does it.

    Args:
        runtime: this process' parts; no transaction is open.
        facts: the round.
        node: who sends it.
        signed: what it signed.
        body: what came with it.
        validated: the bytes were checked whole already; otherwise a worker does it.

    Raises:
        MutationForbidden: the bank has sent other bytes before.
        TooLate: the contributor set is fixed.
        WrongState: the training has ended, or has no rounds yet.
    """
    now = runtime.clock.now()
    values = {
        "training": facts.training, "round": facts.index, "node": node, "statement": signed.model_dump_json(),
        "digest": body.digest, "size_bytes": body.size_bytes, "inline": body.inline, "blob": body.blob,
        "state": "accepted" if validated else "received", "received_at": now,
    }  # fmt: skip
    with runtime.db.noting() as c:
        taken = hot_path.take_contribution(c, values, counts=validated, now=now)
    if taken is None:
        with runtime.db.reading("rounds.sent_before") as s:
            _require_same_contribution(s, facts, node, body)
            due = hot_path.is_collected(s.connection(), facts.training, facts.index, now=now)
    elif not validated:
        runtime.release(Effects(tasks=[Task(TaskName.VALIDATE, (facts.training, facts.index, node))]))
        return
    else:
        remember_sent(facts, node, signed)
        due = taken.is_due and not (taken.is_plain and _went_on(runtime, facts, now=now))
    if due:
        settle_training(runtime, "rounds.settle_contributions", facts.training)


def _went_on(runtime: Runtime, facts: RoundFacts, *, now: float) -> bool:
    """Whether the contributor set was fixed without more ado."""
    with runtime.db.noting() as c:
        asked = fix_and_ask(c, facts, now=now)
    if asked is None:
        return False
    remember_fixed(facts, sorted(member.node for member in facts.roster.members))
    runtime.release(Effects(wake=set(asked)))
    return True


def settle_training(runtime: Runtime, name: str, training: str) -> None:
    """Takes every step of a training that is due, in a transaction of this name."""
    with runtime.act(name) as (s, effects, now):
        settle_locked(s, training, effects, now=now)


def _require_same_contribution(s: Session, facts: RoundFacts, node: str, body: Body) -> None:
    """Why a contribution was not taken: it is here already, or it comes too late."""
    where = f"contribution to {facts.where}"
    before = s.scalar(
        select(Contribution.digest).where(
            Contribution.training == facts.training, Contribution.round == facts.index, Contribution.node == node
        )
    )
    if before is None:
        require_live(s.get_one(Training, facts.training), where)
        state = s.get_one(Round, (facts.training, facts.index)).state
        raise TooLate(where, expected="a round that still collects", got=f"state {state}")
    if before != body.digest:
        raise MutationForbidden(where, expected="the contribution sent before", got="other bytes")


def check_contribution_statement(facts: RoundFacts, node: str, signed: SignedStatement, body: Body) -> None:
    """Checks what a bank signed against the round and the bytes that came.

    1. it is the bank's own, and names this round, its query and its history
    2. the bytes are the ones that it signs, of the round's length

    Raises:
        StatementInvalid, NotOnRoster, WrongRound, HistoryForked, BodyMismatch: as they say.
    """
    where = f"contribution to {facts.where}"
    # (1)
    statement = _own_statement(facts, node, signed, ContributionStatement)
    if statement.round != facts.index:
        raise WrongRound(where, expected=f"round {facts.index}", got=f"round {statement.round}")
    if (statement.query, statement.history) != (facts.query, facts.history):
        raise HistoryForked(where, expected="the query and history of the round", got="others")
    # (2)
    _require_bytes(where, facts, (statement.digest, statement.size_bytes), body)


def _own_statement(facts: RoundFacts, node: str, signed: SignedStatement, kind: type[StatementT]) -> StatementT:
    member = facts.roster.member(node)
    if member is None:
        raise NotOnRoster(facts.where, expected="a bank on the roster", got=f"node {node}")
    statement = verify_statement(signed, kind, key_from_text(member.signing_key))
    if (getattr(statement, "training", None), getattr(statement, "node", None)) != (facts.training, node):
        raise BodyMismatch("statement", expected="the training and node of the request", got="others")
    return statement


def _require_bytes(where: str, facts: RoundFacts, signed: tuple[str, int], body: Body) -> None:
    size = facts.bodies.message_bytes
    if signed != (body.digest, body.size_bytes) or body.size_bytes != size:
        raise BodyMismatch(where, expected=f"the {size} bytes that were signed", got=f"{body.size_bytes} bytes")


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


def mark_validated(runtime: Runtime, training_id: str, index: int, node: str, *, refusal: str | None) -> None:
    """Writes down what the validation of a contribution has found, and goes on; does nothing the second time."""
    now = runtime.clock.now()
    state, reason = ("accepted", "") if refusal is None else ("refused", refusal)
    with runtime.db.transaction("rounds.mark_validated") as s:
        first = hot_path.mark_validated(s.connection(), training_id, index, node, state=state, reason=reason)
        if first and refusal is not None:
            record_event(s, training_id, "refused", now=now, node=node, round_index=index, detail=refusal)
    with runtime.db.looking() as c:
        due = hot_path.is_collected(c, training_id, index, now=now)
    if due:
        settle_training(runtime, "rounds.settle_contributions", training_id)


def accept_vote(
    s: Session, facts: RoundFacts, node: str, *, signed: SignedStatement, effects: Effects, now: float
) -> None:
    """Takes a committee member's vote for the contributor set of a round.

    Raises:
        StatementInvalid, NotOnRoster, WrongRound, HistoryForked, WrongState, TooLate, BodyMismatch: as they say.
        MutationForbidden: the member has voted otherwise before.
    """
    where = f"vote in {facts.where}"
    vote = _own_statement(facts, node, signed, Vote)
    if vote.round != facts.index:
        raise WrongRound(where, expected=f"round {facts.index}", got=f"round {vote.round}")
    if (vote.query, vote.history) != (facts.query, facts.history):
        raise HistoryForked(where, expected="the query and history of the round", got="others")
    if node not in facts.roster.committee:
        raise NotOnRoster(where, expected="a committee member", got=f"node {node}")
    training = lock_training(s, facts.training)
    before = s.get(VoteRow, (facts.training, facts.index, node))
    text = signed.model_dump_json()
    if before is not None:
        if before.statement != text:
            raise MutationForbidden(where, expected="the vote sent before", got="another")
        return
    require_live(training, where)
    row = s.get_one(Round, (facts.training, facts.index))
    if row.status is RoundState.COLLECTING:
        raise WrongState(where, expected="a round whose contributor set is fixed", got=f"state {row.state}")
    if row.status is not RoundState.DECRYPTING:
        raise TooLate(where, expected="a round that is not yet opened", got=f"state {row.state}")
    if list(vote.contributors) != row.contributors:
        raise BodyMismatch(where, expected="the round's contributor set", got="another")
    s.add(VoteRow(training=facts.training, round=facts.index, node=node, statement=text))
    mark_answered(s, member_row(s, facts.training, node), now=now)
    s.flush()
    settle(s, training, effects, now=now)


def check_share_statement(
    facts: RoundFacts, node: str, contributors: Sequence[str], pieces: Sequence[int], *, signed: SignedStatement,
    body: Body,
) -> None:  # fmt: skip
    """Checks what a committee member signed against the round, the assignment, and the bytes that came.

    1. it is the member's own, over the round's history, its contributor set and the pieces assigned
    2. the bytes are the ones that it signs, of the round's length

    Raises:
        StatementInvalid, NotOnRoster, WrongRound, HistoryForked, BodyMismatch: as they say.
    """
    where = f"share for {facts.where}"
    # (1)
    statement = _own_statement(facts, node, signed, ShareStatement)
    if statement.round != facts.index:
        raise WrongRound(where, expected=f"round {facts.index}", got=f"round {statement.round}")
    if statement.history != facts.history:
        raise HistoryForked(where, expected="the history of the round", got="another")
    named = contributors_digest([NodeId(bank) for bank in contributors])
    if (statement.contributors, tuple(statement.pieces)) != (named, tuple(pieces)):
        raise BodyMismatch(where, expected="the contributor set and the pieces assigned", got="others")
    # (2)
    _require_bytes(where, facts, (statement.digest, statement.size_bytes), body)


def accept_share(
    runtime: Runtime, facts: RoundFacts, node: str, number: int, *, signed: SignedStatement, body: Body
) -> None:
    """Takes a decryption share that was checked before, in one statement, without the training's lock.

    Raises:
        MutationForbidden: the member has sent other bytes for this assignment.
        TooLate: its pieces were asked of another, or the round is over.
        WrongState: the training has ended.
    """
    values = {
        "training": facts.training, "round": facts.index, "number": number, "node": node, "digest": body.digest,
        "size_bytes": body.size_bytes, "inline": body.inline, "blob": body.blob,
        "statement": signed.model_dump_json(),
    }  # fmt: skip
    with runtime.db.noting() as c:
        taken = hot_path.take_share(c, values, now=runtime.clock.now())
    if taken is None:
        with runtime.db.reading("rounds.shared_before") as s:
            _require_same_share(s, facts, number, body)
            due = hot_path.is_answered(s.connection(), facts.training, facts.index)
    elif taken.is_plain:
        runtime.release(Effects(tasks=[Task(TaskName.CLOSE_ROUND, (facts.training, facts.index))]))
        return
    else:
        due = taken.is_due
    if due:
        settle_training(runtime, "rounds.settle_shares", facts.training)


def _require_same_share(s: Session, facts: RoundFacts, number: int, body: Body) -> None:
    """Why a share was not taken: it is here already, or it comes too late."""
    where = f"share {number} for {facts.where}"
    assignment = s.get_one(Assignment, (facts.training, facts.index, number))
    if assignment.digest is None:
        if assignment.state == "open":
            require_live(s.get_one(Training, facts.training), where)
        raise TooLate(where, expected="an assignment that is still open", got=f"state {assignment.state}")
    if assignment.digest != body.digest:
        raise MutationForbidden(where, expected="the share sent before", got="other bytes")
