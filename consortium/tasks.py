"""What the workers do: validate, sum, open, apply. Each task reads what is due from the database, works without holding
a transaction, and writes its result if nobody else has; to run one twice, or at once, is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import structlog
from sqlalchemy import CTE, ColumnElement, ScalarSelect, Table, bindparam, exists, func, insert, select, update
from sqlalchemy.orm import Session, undefer

from consortium.chained import Chained
from consortium.db import insert_for
from consortium.prepared import Prepared
from consortium.queue.port import Effects, TaskName
from consortium.replay import LearningPoint
from consortium.rounds.assignments import clear, refuse
from consortium.rounds.hot_path import LIVE
from consortium.rounds.opening import Closing, Opened, contribution_bodies, find_closing, open_sum
from consortium.rounds.protection import RoundBodies, bodies_of
from consortium.rounds.service import mark_validated
from consortium.rounds.settle import lock_both
from consortium.rounds.tables import Assignment, Contribution, Round, SumRange
from consortium.runtime import Runtime
from consortium.stored_body import StoredBody
from consortium.trainings.errors import ContributionMalformed, StoredShareMalformed, SumsDiffer
from consortium.trainings.moves import lock_training, move_training, plan_of, record_event, roster_of
from consortium.trainings.settle import settle, settle_locked
from consortium.trainings.tables import Training
from learning.errors import LearningError
from protocol.aggregate import encode_aggregate
from protocol.errors import AggregateMalformed
from protocol.history import contributors_digest, next_history
from protocol.ids import NodeId, sha256_hex
from protocol.plan import Plan
from protocol.states import RoundEvent, RoundState, TrainingEvent, TrainingState, next_round_state

#: Aggregates of at most so many bytes lie in the round's row and travel inline with the next work.
INLINE_AGGREGATE = 512 * 1024

log = structlog.get_logger("consortium.tasks")


def validate(runtime: Runtime, training_id: str, index: int, node: str) -> None:
    """Checks a contribution whole and writes down what came of it."""
    with runtime.db.reading("tasks.find_contribution") as s:
        contribution = s.get(Contribution, (training_id, index, node), options=[undefer(Contribution.inline)])
        if contribution is None or contribution.state != "received":
            return
        body = StoredBody(contribution.inline, contribution.blob)
        bodies = _bodies(s, training_id, index)
    refusal = None
    try:
        bodies.check_contribution(node, body.read(runtime.blobs))
    except ContributionMalformed as error:
        refusal = str(error)
    mark_validated(runtime, training_id, index, node, refusal=refusal)


def _bodies(s: Session, training_id: str, index: int) -> RoundBodies:
    training = s.get_one(Training, training_id)
    return bodies_of(training, plan_of(training), s.get_one(Round, (training_id, index)))


def sum_range(runtime: Runtime, training_id: str, index: int, first: int) -> None:
    """Sums one chunk range of the fixed contributor set."""
    with runtime.db.reading("tasks.find_range") as s:
        part = s.get(SumRange, (training_id, index, first))
        row = s.get(Round, (training_id, index))
        if part is None or part.blob is not None or row is None or row.status is not RoundState.DECRYPTING:
            return
        count, bodies = part.chunk_count, _bodies(s, training_id, index)
        sources = contribution_bodies(s, row)
    offset, size = bodies.byte_range(first, count)
    total = bodies.sum_range(first, count, (source.read(runtime.blobs, offset, size) for source in sources))
    key = f"sums/{training_id}/{index}/{first}"
    runtime.blobs.put(key, total)
    with runtime.act("tasks.range_summed") as (s, effects, now):
        training = lock_training(s, training_id)
        s.execute(
            update(SumRange)
            .where(SumRange.training == training_id, SumRange.round == index, SumRange.first_chunk == first)
            .values(blob=key)
        )
        settle(s, training, effects, now=now)


def close_round(runtime: Runtime, training_id: str, index: int) -> None:
    """Opens a round's sum, applies it, and opens the next round.

    1. read what is there: the sums or, for a small round, the contributions themselves; the shares
    2. open every range; if the first shares do not open the sum, others are asked in the stead of each member
    3. apply to the learning state
    4. publish: the round is applied, the history grows, the next round opens, in one transaction
    """
    # (1)
    closing = find_closing(runtime.db, training_id, index)
    if closing is None:
        return
    started = time.perf_counter()
    # (2)
    try:
        opened = open_sum(runtime.blobs, closing)
    except StoredShareMalformed as error:
        _refuse(runtime, training_id, index, error)
        return
    except SumsDiffer as error:
        fail(runtime, training_id, f"round {index}: {error}", suspects=error.suspects)
        return
    total = opened.total
    if total is None:
        _doubt(runtime, training_id, index, opened)
        return
    opened_at = time.perf_counter()
    # (3)
    point = learning_point(runtime, training_id, closing.plan.learning, index)
    query = point.query
    if query is None:
        raise ValueError(f"round {index} of training {training_id}: the algorithm asks for no such round")
    try:
        aggregate = encode_aggregate(query, total)
        after = point.apply(total)
    except (AggregateMalformed, LearningError) as error:
        fail(runtime, training_id, f"round {index}: {error}")
        return
    applied = time.perf_counter()
    # (4)
    publish(
        runtime, training_id, index, aggregate, after, closing=closing, suspects=opened.suspects,
        timings={"open_s": opened_at - started, "apply_s": applied - opened_at},
    )  # fmt: skip


def _doubt(runtime: Runtime, training_id: str, index: int, opened: Opened) -> None:
    """No cover opens: others are asked in each member's stead, or nobody is left who could be wrong alone."""
    with runtime.act("tasks.doubt") as (s, effects, now):
        locked = _lock_opening(s, training_id, index)
        if locked is None:
            return
        training, row = locked
        if not row.doubted:
            row.doubted = True
            record_event(s, training_id, "does_not_open", now=now, round_index=index, detail=opened.why)
        elif not clear(s, row, opened.without):
            reason = f"round {index}: no set of shares opens the sum; a contribution or several shares are wrong"
            move_training(s, training, TrainingEvent.FAIL, effects, now=now, reason=reason)
            return
        s.flush()
        settle(s, training, effects, now=now)


def _lock_opening(s: Session, training_id: str, index: int) -> tuple[Training, Round] | None:
    """A training and its round, locked in this order and before the round's assignments; None unless it is opened."""
    both = lock_both(s, training_id)
    if both is None or both[0].status.ended or (both[1].index, both[1].status) != (index, RoundState.DECRYPTING):
        return None
    return both


def _refuse(runtime: Runtime, training_id: str, index: int, error: StoredShareMalformed) -> None:
    """A large share that is none: its member has signed it."""
    with runtime.act("tasks.refuse_share") as (s, effects, now):
        locked = _lock_opening(s, training_id, index)
        if locked is None:
            return
        training, row = locked
        if not refuse(s, row, error.number):
            return
        record_event(s, training_id, "wrong_share", now=now, node=error.node, round_index=index, detail=str(error))
        s.flush()
        settle(s, training, effects, now=now)


def fail(runtime: Runtime, training_id: str, reason: str, *, suspects: Sequence[str] = ()) -> None:
    """Ends a training that can not go on, with its reason, and with the members of whom one is at fault."""
    with runtime.act("tasks.fail") as (s, effects, now):
        training = lock_training(s, training_id)
        if not training.status.ended:
            _accuse(s, training, training.round, suspects, now)
            move_training(s, training, TrainingEvent.FAIL, effects, now=now, reason=reason)


# Where there are several workers, each applies what the others have published.
_AGGREGATE = Prepared(
    select(Round.aggregate_inline, Round.aggregate_blob).where(
        Round.training == bindparam("training"), Round.index == bindparam("round")
    )
)


def learning_point(
    runtime: Runtime, training_id: str, learning: Mapping[str, Any], index: int
) -> LearningPoint:  # fmt: skip
    """The learning state after `index` rounds, from this process' cache or by replay."""

    def load(earlier: int) -> bytes:
        with runtime.db.looking() as c:
            (found,) = _AGGREGATE.rows(c, {"training": training_id, "round": earlier})
        return StoredBody(*found).read(runtime.blobs)

    return runtime.states.at(training_id, learning, index, load)


def _bytes_in(table: type[Contribution | Assignment]) -> ScalarSelect[int]:
    """What the banks sent to a round."""
    sent = func.coalesce(func.sum(table.size_bytes), 0)
    return select(sent).where(table.training == Round.training, table.round == Round.index).scalar_subquery()


# Built once, and as tables: to build a statement, or to keep the session's rows in step with it, costs more than to run
# it.
_ROUNDS = cast("Table", Round.__table__)
_TRAININGS = cast("Table", Training.__table__)
_PUBLISH = (
    update(_ROUNDS)
    .where(
        Round.training == bindparam("of_training"),
        Round.index == bindparam("of_round"),
        Round.state == RoundState.DECRYPTING.value,
    )
    .values(
        {
            name: bindparam(name, type_=_ROUNDS.c[name].type)
            for name in (
                "aggregate_digest",
                "aggregate_size",
                "aggregate_inline",
                "aggregate_blob",
                "applied_at",
                "timings",
            )
        }
    )
    .values(
        state=next_round_state(RoundState.DECRYPTING, RoundEvent.AGGREGATE_DECRYPTED).value,
        bytes_in=_bytes_in(Contribution) + _bytes_in(Assignment),
    )
    .returning(_ROUNDS.c.contributors, _ROUNDS.c.query_digest)
)


def _open_statement(dialect: str) -> Any:
    insert = insert_for(dialect)
    return insert(_ROUNDS).on_conflict_do_nothing().returning(_ROUNDS.c.index)


_OPEN = {dialect: _open_statement(dialect) for dialect in ("sqlite", "postgresql")}
_OPENED = (
    "training", "index", "state", "query_name", "query_digest", "length", "bound", "resolution", "history", "opened_at",
    "deadline_at", "timings", "ranges", "doubted", "bytes_in", "awaited",
)  # fmt: skip


def _publish_and_open() -> Chained:
    """The training's row, the round's and the next round's: locked in the order in which settling locks them."""
    its = _TRAININGS.c
    move = (
        update(_TRAININGS)
        .where(
            its.id == bindparam("of_training"),
            its.round == bindparam("of_round"),
            LIVE,
            exists()
            .where(
                _ROUNDS.c.training == bindparam("of_training"),
                _ROUNDS.c.index == bindparam("of_round"),
                _ROUNDS.c.state == RoundState.DECRYPTING.value,
            )
            .correlate(_TRAININGS),
        )
        .values(
            round=bindparam("next_index"),
            history=bindparam("next_history"),
            progress=bindparam("next_progress", type_=its.progress.type),
        )
        .returning(its.away)
    )

    def open_it(after: Sequence[ColumnElement[bool]], moved: CTE | None) -> Any:
        given = [bindparam(f"next_{name}", type_=_ROUNDS.c[name].type) for name in _OPENED[:-1]]
        # Of those who are away what stands in the row that is locked, not what stood there when the statement began.
        away = its.away if moved is None else moved.c.away
        of_training = () if moved is not None else (its.id == bindparam("of_training"),)
        rows = select(*given, bindparam("members") - away).where(*after, *of_training)
        return insert(_ROUNDS).from_select(list(_OPENED), rows).returning(_ROUNDS.c.index)

    return Chained(move, lambda after, _: _PUBLISH.where(*after), open_it)


_PUBLISH_AND_OPEN = _publish_and_open()


def publish(
    runtime: Runtime, training_id: str, index: int, aggregate: bytes, after: LearningPoint, *, closing: Closing,
    suspects: Sequence[str], timings: dict[str, float],
) -> None:  # fmt: skip
    """Makes an aggregate the round's, by compare-and-set, and opens what comes next."""
    digest = sha256_hex(aggregate)
    inline, blob = (aggregate, None) if len(aggregate) <= INLINE_AGGREGATE else (None, f"aggregates/{digest}")
    if blob is not None:
        runtime.blobs.put(blob, aggregate)
    model = _model(runtime, after)
    published = {
        "of_training": training_id, "of_round": index, "aggregate_digest": digest, "aggregate_size": len(aggregate),
        "aggregate_inline": inline, "aggregate_blob": blob, "applied_at": runtime.clock.now(), "timings": timings,
    }  # fmt: skip
    named = contributors_digest([NodeId(node) for node in closing.contributors])
    history = next_history(closing.history, index, query=closing.query, contributors=named, aggregate=digest)
    if model is None and not suspects:
        _publish_and_go_on(runtime, closing, published, after, history)
    else:
        with runtime.act("tasks.publish") as (s, effects, now):
            training = lock_training(s, training_id)
            if s.connection().execute(_PUBLISH, published).first() is None or training.round != index:
                return
            training.history, training.round, training.progress = history, index + 1, after.progress
            _accuse(s, training, index, suspects, now)
            open_next(s, training, after, model, effects, now=now)
    runtime.states.keep(training_id, after)


def _publish_and_go_on(
    runtime: Runtime, closing: Closing, published: dict[str, Any], after: LearningPoint, history: str
) -> None:
    """As nearly every round goes; does nothing if somebody was first, or if the training has ended."""
    now, training_id = runtime.clock.now(), str(published["of_training"])
    opened = _row_of_next(after, closing.plan, history, now=now)
    values = published | {f"next_{name}": value for name, value in opened.items()}
    values |= {"next_training": training_id, "next_progress": after.progress, "members": len(closing.roster.members)}
    with runtime.db.noting() as c:
        if _PUBLISH_AND_OPEN.run(c, values) is None:
            return
    runtime.release(Effects(wake={training_id, *(member.node for member in closing.roster.members)}))


def _accuse(s: Session, training: Training, index: int, suspects: Sequence[str], now: float) -> None:
    """Names whoever has answered wrongly; where it is one of several, all of them and nobody alone."""
    if not suspects:
        return
    names = ", ".join(member.name for member in roster_of(training).members if member.node in suspects)
    if len(suspects) == 1:
        node, detail = suspects[0], f"the share of {names} for round {index} was wrong: only without it the sum opens"
    else:
        node, detail = None, f"one of {names} has answered wrongly in round {index}: their shares cannot tell which"
    record_event(s, training.id, "wrong_share", now=now, node=node, round_index=index, detail=detail)


def _model(runtime: Runtime, point: LearningPoint) -> tuple[str, str, str] | None:
    """(digest in hex, blob key, SHA-256 of the bytes in hex) of the model, once the rounds are done."""
    if point.query is not None:
        return None
    result = point.algorithm.result(point.state)
    content = result.to_bytes()
    # A risk table's digest is of its counts, not of its bytes: what is stored is named by what it is.
    sha256 = sha256_hex(content)
    key = f"models/{sha256}"
    runtime.blobs.put(key, content)
    return result.digest().hex(), key, sha256


def _row_of_next(point: LearningPoint, plan: Plan, history: str, *, now: float) -> dict[str, Any]:
    """The next round's row, but for its training and for how many are awaited."""
    query = point.query
    if query is None:
        raise ValueError("the rounds are done: there is no next one")
    return {
        "index": point.round, "state": RoundState.COLLECTING.value, "query_name": query.name,
        "query_digest": query.digest().hex(), "length": query.length, "bound": query.bound,
        "resolution": query.resolution, "history": history, "opened_at": now,
        "deadline_at": now + plan.deadlines.contribution_s, "timings": {}, "ranges": 1, "doubted": False, "bytes_in": 0,
    }  # fmt: skip


def open_next(
    s: Session, training: Training, point: LearningPoint, model: tuple[str, str, str] | None, effects: Effects, *,
    now: float,
) -> None:  # fmt: skip
    """Opens the round that the algorithm asks for, or ends the rounds; the caller holds the training's lock."""
    if training.status.ended or training.history is None:
        return
    plan = plan_of(training)
    if model is not None:
        if training.status is TrainingState.RUNNING:
            training.model_digest, training.model_blob, training.model_sha256 = model
            training.deadline_at = now + plan.deadlines.contribution_s
            move_training(s, training, TrainingEvent.ROUNDS_FINISHED, effects, now=now)
        return
    if point.query is None:
        return
    opened = _row_of_next(point, plan, training.history, now=now)
    opened |= {"training": training.id, "awaited": len(roster_of(training).members) - training.away}
    c = s.connection()
    if c.execute(_OPEN[c.dialect.name], opened).first() is None:  # somebody has opened it
        return
    effects.wake.update(member.node for member in roster_of(training).members)
    effects.wake.add(training.id)


def advance(runtime: Runtime, training_id: str) -> None:
    """Opens the round that is next where none is open; otherwise takes whatever step is due."""
    with runtime.db.reading("tasks.find_training") as s:
        training = s.get(Training, training_id)
        if training is None or training.status.ended:
            return
        index, learning = training.round, plan_of(training).learning
        waiting = training.status is TrainingState.RUNNING and s.get(Round, (training_id, index)) is None
    if waiting:
        point = learning_point(runtime, training_id, learning, index)
        model = _model(runtime, point)
        with runtime.act("tasks.open_round") as (s, effects, now):
            training = lock_training(s, training_id)
            if training.round == index:
                training.progress = point.progress
                open_next(s, training, point, model, effects, now=now)
        return
    with runtime.act("tasks.settle") as (s, effects, now):
        settle_locked(s, training_id, effects, now=now)


TASKS: MappingProxyType[TaskName, Callable[..., None]] = MappingProxyType(
    {
        TaskName.VALIDATE: validate,
        TaskName.SUM_RANGE: sum_range,
        TaskName.CLOSE_ROUND: close_round,
        TaskName.ADVANCE: advance,
    }
)
