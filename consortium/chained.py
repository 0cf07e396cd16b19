"""Statements of which each acts only if the one before has: one statement, and so one round trip, on PostgreSQL.

PostgreSQL runs them as common table expressions that write; SQLite, which has none of those and no round trips, runs
them one by one in a transaction. On PostgreSQL all of them see the database as it was when the first began, but for the
rows that they write themselves: of a row that another transaction was writing they see what that one has left, and ask
their conditions on this row again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, exists, select

from consortium.prepared import Prepared

#: Makes a statement that writes and returns a row if it did. On PostgreSQL it is given a condition beside its own, and
#: what the first statement returns; on SQLite neither, where it may look that up.
Step = Callable[[Sequence[ColumnElement[bool]], CTE | None], Any]


class Chained:
    """Built once: to build a statement costs about as much as to run it.

    A value must not have the name of a column that an UPDATE among them may set: it would be taken for a new value.

    Args:
        first: the first statement; what it returns is the answer.
        others: what follows it, in order.
    """

    def __init__(self, first: Any, *others: Step) -> None:
        self._one_by_one = (first, *(step((), None) for step in others))
        tables = [first.cte("step_0")]
        for number, step in enumerate(others, start=1):
            tables.append(step([exists(select(tables[-1]))], tables[0]).cte(f"step_{number}"))
        self._at_once = Prepared(select(*tables[0].c).where(exists(select(tables[-1]))))

    def run(self, c: Connection, values: Mapping[str, object]) -> Any | None:
        """What the first returns, if all of them have acted.

        Args:
            c: of `Database.noting`.
            values: of the parameters.
        """
        if c.dialect.name == "postgresql":
            return next(iter(self._at_once.rows(c, values)), None)
        rows = []
        for statement in self._one_by_one:
            row = c.execute(statement, values).first()
            if row is None:
                return None
            rows.append(row)
        return rows[0]
