"""Leases: a task is done by one worker at a time, though its message may be delivered more than once.

A lease is short and renewed while the task runs, so that the work of a worker that was killed is soon taken over. It
keeps work from being done twice, no more: what a task writes is guarded by compare-and-set. What is mostly brief takes
one only if it lasts (`consortium.task_runner`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Insert, and_, bindparam, case, delete, literal, select, update
from sqlalchemy.orm import Session

from consortium.db import insert_for
from consortium.prepared import Prepared
from consortium.queue.port import Task
from consortium.queue.tables import TaskLease

#: A lease that is not renewed is free after so long: a killed worker's task is taken over then.
LEASE_S = 4.0
RENEW_S = 1.0
#: What was queued and is not being done, or has failed, is queued again after 3, 6, 12, 24, 30, 30, … seconds.
ASK_AGAIN_S, ASK_AGAIN_AT_MOST_S = 3.0, 30.0
#: Rows that nobody has touched for so long are of tasks that were done by others.
_STALE_S = 3600.0


def key_of(task: Task) -> str:
    """A task's key: its name and arguments."""
    return ":".join((task.name.value, *map(str, task.arguments)))


def pause_before(attempt: int) -> float:
    """Seconds before a task is queued again after so many attempts."""
    return float(min(ASK_AGAIN_AT_MOST_S, ASK_AGAIN_S * 2 ** min(attempt - 1, 10)))


# Built once: to build a statement costs about as much as to run it.
def _take_statement(dialect: str) -> Insert:
    insert = insert_for(dialect)
    free = TaskLease.until < bindparam("now")
    row = {"key": bindparam("key"), "holder": bindparam("by"), "until": bindparam("to"), "again": literal(False)}
    nothing = {"asked": literal(0), "ask_after": literal(0.0), "failures": literal(0), "error": literal("")}
    statement: Insert = (
        insert(TaskLease)
        .values(**row, **nothing)
        .on_conflict_do_update(
            index_elements=[TaskLease.key],
            set_={
                "holder": case((free, bindparam("by")), else_=TaskLease.holder),
                "until": case((free, bindparam("to")), else_=TaskLease.until),
                "again": case((free, literal(False)), else_=literal(True)),
            },
        )
        .returning(TaskLease.holder)
    )
    return statement


_TAKE = {dialect: Prepared(_take_statement(dialect)) for dialect in ("sqlite", "postgresql")}
_MINE = and_(TaskLease.key == bindparam("held"), TaskLease.holder == bindparam("by"))
_FINISH = Prepared(delete(TaskLease).where(_MINE).returning(TaskLease.again))


def take(c: Connection, key: str, holder: str, *, now: float) -> bool:
    """Takes a free lease; one that is held is marked instead, so that its holder looks once more.

    Args:
        c: of `Database.noting`.
        key: of the task.
        holder: names this run, and no other.
        now: seconds since the epoch.
    """
    values = {"key": key, "by": holder, "now": now, "to": now + LEASE_S}
    return bool(_TAKE[c.dialect.name].rows(c, values)[0].holder == holder)


def finish(c: Connection, key: str, holder: str) -> bool:
    """Gives a lease back after the task was done; whether it was asked for meanwhile."""
    return any(row.again for row in _FINISH.rows(c, {"held": key, "by": holder}))


def renew(c: Connection, holders: Iterable[str], *, now: float) -> None:
    """Holds leases for longer."""
    c.execute(update(TaskLease).where(TaskLease.holder.in_(list(holders))).values(until=now + LEASE_S))


def give_back(c: Connection, key: str, holder: str, *, now: float) -> None:
    """Gives a lease back though the task could not be done, through no fault of its own."""
    c.execute(
        update(TaskLease)
        .where(TaskLease.key == key, TaskLease.holder == holder)
        .values(holder="", until=0.0, again=False, ask_after=now + ASK_AGAIN_S)
    )


def count_failure(s: Session, key: str, holder: str, *, error: str, now: float) -> int:
    """Gives a lease back after the task has failed; how often it now has, in a row."""
    row = s.get(TaskLease, key)
    if row is None or row.holder != holder:
        return 0
    row.failures += 1
    row.holder, row.until, row.again, row.error = "", 0.0, False, error
    row.ask_after = now + pause_before(row.failures)
    return row.failures


def forget(s: Session, key: str) -> None:
    """Forgets how often a task has failed: it is to be tried anew."""
    s.execute(delete(TaskLease).where(TaskLease.key == key))


def forget_stale(s: Session, *, now: float) -> None:
    """Drops what is left of tasks that were done without their lease."""
    old = now - _STALE_S
    s.execute(delete(TaskLease).where(TaskLease.until < old, TaskLease.ask_after < old))


def claim_to_queue(s: Session, tasks: list[Task], *, now: float) -> list[Task]:
    """Those of the due tasks that nobody is at and that were not queued just now; they are noted as queued.

    Several reconcilers look at the same time: the caller's transaction writes, so one of them sees the other's note.
    """
    rows = {key_of(task): task for task in tasks}
    kept = {row.key: row for row in s.scalars(select(TaskLease).where(TaskLease.key.in_(rows)).with_for_update())}
    claimed = []
    for key, task in rows.items():
        row = kept.get(key)
        if row is None:
            if not _note(s, key, now):
                continue
        elif row.until >= now or row.ask_after > now:
            continue
        else:
            row.asked += 1
            row.ask_after = now + pause_before(row.asked + row.failures)
        claimed.append(task)
    return claimed


def _note(s: Session, key: str, now: float) -> bool:
    insert = insert_for(s.get_bind().dialect.name)
    values = {
        "key": key, "holder": "", "until": 0.0, "again": False, "asked": 1, "failures": 0, "error": "",
        "ask_after": now + pause_before(1),
    }  # fmt: skip
    statement = insert(TaskLease).values(**values).on_conflict_do_nothing().returning(TaskLease.key)
    return s.execute(statement).scalar_one_or_none() is not None
