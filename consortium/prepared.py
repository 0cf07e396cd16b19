"""Statements that run all the time: compiled once and, on PostgreSQL, handed to the driver as they are.

SQLAlchemy finds out anew for every run which statement it has compiled, and keeps books of each result; that takes
about as long as the driver and the server together need for a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


_CURSOR = "fraud-consortium:cursor"  # in SQLAlchemy's notes of a connection to the server


class Prepared:
    """Safe to use from several threads.

    Args:
        statement: with plain parameters: none that is expanded to a list of several.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._text = ""
        self._constants: dict[str, object] = {}
        self._converted: dict[str, Callable[[Any], Any]] = {}
        self._named: Callable[[tuple[Any, ...]], Any] | None = None

    def rows(self, c: Connection, values: Mapping[str, object]) -> list[Any]:
        """The rows that it returns, as tuples with names.

        Args:
            c: of `Database.noting` or `looking`, which has no transaction open.
            values: of all parameters that are not constants of the statement.

        Raises:
            sqlalchemy.exc.DBAPIError: as SQLAlchemy raises it.
        """
        if c.dialect.name != "postgresql":
            return list(c.execute(self._statement, values).all())
        import psycopg  # noqa: PLC0415  # where there is SQLite alone it is not loaded

        if not self._text:
            self._compile(c.dialect)
        given = {**self._constants, **values}
        for name, convert in self._converted.items():
            given[name] = convert(given[name])
        try:
            cursor = _cursor_of(c).execute(self._text, given)
            rows = cursor.fetchall()
        except psycopg.OperationalError:
            # SQLAlchemy knows what to do with a connection that is lost. Nothing was done that could be done twice:
            # a statement that has failed has changed nothing, and over a connection that is lost none can be said.
            return list(c.execute(self._statement, values).all())
        except psycopg.Error as error:
            raise DBAPIError.instance(self._text, None, error, psycopg.Error, dialect=c.dialect) from error
        if self._named is None:  # once: the driver would find out after every run
            from psycopg.rows import namedtuple_row  # noqa: PLC0415

            self._named = namedtuple_row(cursor)
        return [self._named(row) for row in rows]

    def _compile(self, dialect: Dialect) -> None:
        compiled = self._statement.compile(dialect=dialect)
        for bind, name in compiled.bind_names.items():
            if bind.expanding:
                raise ValueError(f"parameter {name} is expanded to several: give a list as one, or each its own")
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if convert is not None:
                self._converted[name] = convert
            if not bind.required:
                self._constants[name] = bind.effective_value
        self._text = compiled.string  # last: whoever sees it relies on the rest


def _cursor_of(c: Connection) -> Any:
    """The driver's cursor, one for every connection to the server: to make one takes as long as to use it."""
    connection = c.connection
    cursor = connection.info.get(_CURSOR)
    if cursor is None:
        driver: Any = connection.driver_connection
        cursor = connection.info[_CURSOR] = driver.cursor()
    return cursor
