"""Statements of which each acts only if the one before has, on both databases; what one of them leaves another sees."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, insert, literal, select, update

from consortium.chained import Chained
from consortium.db import Database
from tests.common.servers import empty_database

META = MetaData()
COUNTER = Table("counter", META, Column("key", Integer, primary_key=True), Column("value", Integer))
NOTE = Table("note", META, Column("number", Integer, primary_key=True))


def insert_note(after, _):
    rows = select(bindparam("number_noted", type_=Integer)).where(*after)
    return insert(NOTE).from_select(["number"], rows).returning(NOTE.c.number)


COUNT_AND_NOTE = Chained(
    update(COUNTER)
    .where(COUNTER.c.key == bindparam("of_key"), COUNTER.c.value > 0)
    .values(value=COUNTER.c.value - 1)
    .returning(COUNTER.c.value),
    insert_note,
)
NEVER = Chained(
    update(COUNTER).where(COUNTER.c.key == bindparam("of_key")).values(value=7).returning(COUNTER.c.value),
    lambda after, _: update(NOTE).where(NOTE.c.number == literal(-1), *after).values(number=0).returning(NOTE.c.number),
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database(request, tmp_path):
    with empty_database(request.param, tmp_path) as url, closing(Database(url)) as made:
        META.create_all(made.engine)
        with made.noting() as c:
            c.execute(insert(COUNTER).values(key=1, value=20))
        yield made


def notes(database: Database) -> list[int]:
    with database.looking() as c:
        return sorted(c.execute(select(NOTE.c.number)).scalars())


def test_what_follows_acts_only_if_the_first_has(database):
    with database.noting() as c:
        assert COUNT_AND_NOTE.run(c, {"of_key": 1, "number_noted": 5}).value == 19
        assert COUNT_AND_NOTE.run(c, {"of_key": 2, "number_noted": 6}) is None
    assert notes(database) == [5]


def test_there_is_no_answer_if_what_follows_has_not_acted(database):
    with database.noting() as c:
        assert NEVER.run(c, {"of_key": 1}) is None


def test_of_many_at_once_each_sees_what_the_one_before_has_left(database):
    left = []

    def run(number):
        for step in range(5):
            with database.noting() as c:
                row = COUNT_AND_NOTE.run(c, {"of_key": 1, "number_noted": 10 * number + step})
            left.append(None if row is None else row.value)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(value for value in left if value is not None) == list(range(20))
    assert left.count(None) == 5
    assert len(notes(database)) == 20


def note_what_is_left(after, counted):
    left = select(COUNTER.c.value) if counted is None else select(counted.c.value)
    return insert(NOTE).from_select(["number"], left.where(*after)).returning(NOTE.c.number)


COUNT_AND_NOTE_WHAT_IS_LEFT = Chained(
    update(COUNTER).where(COUNTER.c.value > 0).values(value=COUNTER.c.value - 1).returning(COUNTER.c.value),
    note_what_is_left,
)


def test_what_follows_is_told_what_the_row_says_that_was_waited_for(database):
    """Against a look at the table, which shows it as it was when the statement began."""
    answers = []

    def run():
        with database.noting() as c:
            answers.append(COUNT_AND_NOTE_WHAT_IS_LEFT.run(c, {}).value)

    late = threading.Thread(target=run)
    with database.transaction("test") as s:
        s.execute(update(COUNTER).values(value=10))
        late.start()
        late.join(0.5)
        assert answers == []
    late.join(30)
    assert answers == notes(database) == [9]
