"""The database: the declarative base of all tables, and named transactions.

SQLite (write-ahead log) and PostgreSQL behave alike here: a writer takes the write lock when it begins, so that what it
has read still holds when it writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import structlog
import tenacity
from sqlalchemy import URL, BigInteger, Connection, Engine, Integer, create_engine, event, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import QueuePool

from consortium.errors import ConsortiumError
from consortium.migrations import HEAD

log = structlog.get_logger("consortium.db")

_BUSY_TIMEOUT_S = 30
_LOCK = 0x6672_6175  # any constant: who holds this advisory lock migrates


class DatabaseUnusable(ConsortiumError):
    """A database's URL that names none, or a place that cannot be written to; never says the URL: it has a password."""

    def __init__(self, got: str, *, expected: str = "postgresql://user@host/name or sqlite:////folder/file") -> None:
        super().__init__(f"database: expected {expected}, {got}; see CONSORTIUM_DATABASE_URL and CONSORTIUM_DATA_DIR")


class Base(DeclarativeBase):
    """Base of all tables."""


#: A number of bytes: a body alone may have 2 GiB. SQLite's integers have 64 bits under their own name.
ByteCount = BigInteger().with_variant(Integer, "sqlite")


def insert_for(dialect: str) -> Any:
    """The `insert` that knows `ON CONFLICT`, which each of the two databases has as its own."""
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


class Database:
    """One database, as the service and the workers use it.

    Args:
        url: SQLAlchemy's; ``sqlite:///file`` or ``postgresql+psycopg://…``.
        pool_size: connections held, twice as many at most; on PostgreSQL as many again for single statements. No one
            holds a connection while it waits for anything else.
        durable: a commit is on disk when it returns. For notes that may be lost with a crash it need not be, which
            saves waiting for the disk.

    Raises:
        DatabaseUnusable: the URL names none that this service can use.
    """

    def __init__(self, url: str | URL, *, pool_size: int = 16, durable: bool = True) -> None:
        parsed = _parsed(url)
        self.url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
        elif not durable:
            options["connect_args"] = {"options": "-c synchronous_commit=off"}
        # The connection used last is used next: its server process has everything at hand.
        options |= {"pool_size": pool_size, "max_overflow": pool_size, "pool_use_lifo": True}
        self.engine: Engine = create_engine(parsed, **options)
        # PostgreSQL's connections for single statements are their own: to turn one into the other, and back, costs
        # more than such a statement. SQLite's driver would forget how it was set up.
        self._autocommitting = self.engine
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite if durable else _prepare_sqlite_undurable)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            options |= {"skip_autocommit_rollback": True, "pool_reset_on_return": None}
            self._autocommitting = create_engine(parsed, isolation_level="AUTOCOMMIT", **options)
            event.listen(self._autocommitting, "checkin", _require_idle)
        self._at_hand = _AtHand(self._autocommitting, most=pool_size // 2)

    @contextmanager
    def transaction(self, name: str) -> Iterator[Session]:
        """A transaction that writes; committed when the block ends, rolled back when it raises.

        Args:
            name: what it does, e.g. ``rounds.accept_contribution``; for traces and locks' owners.
        """
        with Session(self.engine, expire_on_commit=False, info={"name": name}) as session, session.begin():
            session.connection(execution_options={"writes": True})
            yield session

    @contextmanager
    def reading(self, name: str) -> Iterator[Session]:
        """A session that only reads and never waits for a writer; each statement sees what is committed by then."""
        with Session(self._autocommitting, expire_on_commit=False, autoflush=False, info={"name": name}) as session:
            if self.is_sqlite:
                session.connection(execution_options={"writes": False})
            yield session

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """A connection for single statements that write, each in one round trip and committed by itself.

        For what happens all the time: a session's identity map and unit of work cost more than such a statement.
        SQLite, which has no round trips, commits them together.
        """
        if self.is_sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        with self._at_hand.one() as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """A connection that only reads, as `reading` does."""
        if self.is_sqlite:
            with self.engine.connect() as connection:
                yield connection.execution_options(writes=False)
            return
        with self._at_hand.one() as connection:
            yield connection

    def create(self, *, patience_s: float = 60.0) -> None:
        """Brings the tables to this version, in one process at a time.

        Args:
            patience_s: how long a server that does not answer is waited for: it may be starting as well.

        Raises:
            DatabaseUnusable: it does not answer by then, or is none that can be written to.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(OperationalError),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
            stop=tenacity.stop_after_delay(0.0 if self.is_sqlite else patience_s),
            before_sleep=self._say_waiting,
            reraise=True,
        )
        try:
            retrying(self._create)
        except DatabaseError as error:
            raise self._unusable(error) from error

    def seconds_ahead(self, now: float) -> float:
        """By how much `now` is ahead of the database's clock, in seconds; SQLite has this machine's."""
        if self.is_sqlite:
            return 0.0
        with self.reading("clock") as s:
            told = s.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        return now - float(told)

    def require_current(self) -> None:
        """Whether its tables are those of this version; nothing is changed.

        Raises:
            DatabaseUnusable: they are older or newer, or it does not answer.
        """
        try:
            with self.engine.connect() as connection:
                is_current = _is_at_head(connection)
        except DatabaseError as error:
            raise self._unusable(error) from error
        if not is_current:
            raise DatabaseUnusable(
                "got older ones; `consortium db upgrade` or a start of the service brings them up",
                expected=f"tables of revision {HEAD}",
            )

    def is_made(self) -> bool:
        """Whether the service's tables are in it; a file or folder that is missing is not made.

        Raises:
            DatabaseUnusable: it does not answer.
        """
        if self.is_sqlite and not Path(self.url.database or "").is_file():
            return False
        try:
            with self.engine.connect() as connection:
                return inspect(connection).has_table("alembic_version")
        except DatabaseError as error:
            raise self._unusable(error) from error

    def _say_waiting(self, retry: tenacity.RetryCallState) -> None:
        error = retry.outcome.exception() if retry.outcome is not None else None
        if isinstance(error, DatabaseError):
            log.warning("database:waiting", attempt=retry.attempt_number, why=str(self._unusable(error)))

    def _unusable(self, error: DatabaseError) -> DatabaseUnusable:
        lines = str(error.orig).strip().splitlines()
        place = f"{self.url.database}: " if self.is_sqlite else ""
        expected = "a file that can be read and written" if self.is_sqlite else "a server that answers"
        return DatabaseUnusable(f"got {place}{lines[0] if lines else type(error).__name__}", expected=expected)

    def _create(self) -> None:
        if self.is_sqlite:
            _make_folder(self.url)
        with self.engine.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if not _is_at_head(connection):
                _migrate(connection)

    def close(self) -> None:
        """Closes every connection."""
        self._at_hand.close()
        self._autocommitting.dispose()
        self.engine.dispose()


class _AtHand:
    """Connections for single statements that are not given back to their pool: to take one out of it, and to give it
    back, takes as long as such a statement. Safe to use from several threads.

    Args:
        engine: whose connections commit every statement.
        most: how many are kept; whoever needs one more takes it from the pool.
    """

    def __init__(self, engine: Engine, *, most: int) -> None:
        self._engine, self._most = engine, most
        self._idle: list[Connection] = []
        self._is_closed = False

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection for one thread."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            yield connection
        finally:
            self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        if self._is_closed:
            connection.invalidate()  # its pool is no more, and would not close it
        if connection.invalidated:  # the others were lost with it, or before long: the pool finds out which
            self._give_back()
        elif connection.in_transaction():
            connection.rollback()  # SQLAlchemy's; the server has none, or the connection is given up
        if connection.invalidated or self._is_wanted_elsewhere() or not _is_idle(connection.connection):
            connection.close()
        else:
            self._idle.append(connection)

    def _is_wanted_elsewhere(self) -> bool:
        """Whether enough are at hand, or so many taken out of the pool that somebody may wait there for one."""
        pool = cast("QueuePool", self._engine.pool)
        return len(self._idle) >= self._most or pool.checkedout() > pool.size()

    def _give_back(self) -> None:
        with suppress(IndexError):  # others take from it meanwhile
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        """Gives back what is at hand, and from now on everything at once."""
        self._is_closed = True
        self._give_back()


def _is_at_head(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    if any(one > HEAD for one in found):
        raise DatabaseUnusable(
            f"got revision {max(found)} of a newer version: start that, or restore the backup from before it",
            expected=f"tables of revision {HEAD} or older",
        )
    return found == [HEAD]


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # seldom needed, and not small
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "consortium:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnusable("got something else") from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise DatabaseUnusable(f"got one of {parsed.drivername}")
    return parsed


def _make_folder(url: URL) -> None:
    if not url.database:
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnusable(f"got {folder}: {error.strerror}", expected="a folder that can be written to") from error


def _prepare_sqlite_undurable(connection: Any, record: Any) -> None:
    _prepare_sqlite(connection, record)
    connection.execute("PRAGMA synchronous = NORMAL")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy, not the driver, says where a transaction begins.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"busy_timeout = {_BUSY_TIMEOUT_S}000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _require_idle(connection: Any, record: Any) -> None:
    """A connection for single statements that was left in a transaction is closed, which undoes what was begun."""
    if connection is not None and not _is_idle(connection):
        record.invalidate()


def _is_idle(connection: Any) -> bool:
    """Whether psycopg's connection is in no transaction, and under no statement."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415  # where there is SQLite alone it is not loaded

    return bool(connection.pgconn.transaction_status == TransactionStatus.IDLE)


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
