"""A statement that is compiled once gives what SQLAlchemy gives, and fails as SQLAlchemy fails, on both databases."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError, StatementError

from consortium.db import Database
from consortium.prepared import Prepared
from tests.common.servers import empty_database

META = MetaData()
THING = Table(
    "thing", META, Column("key", Integer, primary_key=True), Column("name", String(20)), Column("names", JSON),
    Column("body", LargeBinary), Column("size", Float), Column("known", Boolean),
)  # fmt: skip
ROW = {"key": 1, "name": "O'Hara %s", "names": ["a", {"b": None}], "body": b"\0\xff", "size": 0.1, "known": True}
GIVEN = {name: bindparam(f"of_{name}", type_=THING.c[name].type) for name in ROW}
INSERT = Prepared(insert(THING).values(GIVEN).returning(THING.c.key))
WHICH = THING.c.key == bindparam("which")
FIND = Prepared(select(THING, literal(7).label("seven")).where(WHICH).order_by(THING.c.key))
RENAME = Prepared(update(THING).where(WHICH).values(name=func.lower(bindparam("to"))).returning(THING.c.name))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database(request, tmp_path):
    with empty_database(request.param, tmp_path) as url, closing(Database(url)) as made:
        META.create_all(made.engine)
        yield made


def insert_row(database: Database, **other):
    with database.noting() as c:
        return INSERT.rows(c, {f"of_{name}": value for name, value in (ROW | other).items()})


def test_values_come_back_as_they_went(database):
    assert insert_row(database)[0].key == 1
    nothing = {name: None for name in ROW if name != "key"}
    insert_row(database, key=2, **nothing)
    with database.looking() as c:
        for which, row in ((1, ROW), (2, {"key": 2, **nothing})):
            found = FIND.rows(c, {"which": which})[0]
            assert {name: getattr(found, name) for name in row} == row
            assert found.seven == 7
            said = c.execute(select(THING).where(THING.c.key == which)).one()
            assert tuple(found)[:-1] == tuple(said)
        assert FIND.rows(c, {"which": 3}) == []


def test_the_same_statement_takes_other_values(database):
    insert_row(database)
    with database.noting() as c:
        assert [RENAME.rows(c, {"which": 1, "to": to})[0].name for to in ("ONE", "Two") * 8] == ["one", "two"] * 8
        assert RENAME.rows(c, {"which": 9, "to": "x"}) == []
    with database.looking() as c:
        assert FIND.rows(c, {"which": 1})[0].name == "two"


def test_what_the_database_refuses_is_refused_as_sqlalchemy_does(database):
    insert_row(database)
    with pytest.raises(IntegrityError):
        insert_row(database, name="again")
    with database.looking() as c:
        assert FIND.rows(c, {"which": 1})[0].name == ROW["name"]
    with database.noting() as c, pytest.raises((StatementError, KeyError)):
        RENAME.rows(c, {"which": 1})


@pytest.mark.server
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_that_was_lost_is_given_up(database):
    insert_row(database)
    with database.looking() as c:
        FIND.rows(c, {"which": 1})
        with database.engine.connect() as other:
            own = c.connection.driver_connection.info.backend_pid
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
        with pytest.raises(OperationalError) as raised:
            RENAME.rows(c, {"which": 1, "to": "twice"})
        assert raised.value.connection_invalidated
    with database.looking() as c:
        assert FIND.rows(c, {"which": 1})[0].name == ROW["name"]


@pytest.mark.server
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_wrong_statement_is_not_tried_in_another_way(database):
    with database.noting() as c:
        with pytest.raises(ValueError, match="several"):
            Prepared(select(THING.c.key).where(THING.c.key.in_([1, 2]))).rows(c, {})
        with pytest.raises(ProgrammingError):
            Prepared(select(text("nothing")).select_from(THING)).rows(c, {})
        with pytest.raises(DataError):
            RENAME.rows(c, {"which": 2**40, "to": "x"})
