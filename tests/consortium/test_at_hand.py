"""Connections that stay at hand serve one at a time, forget what was left behind, and outlive the server."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from consortium.db import Database
from tests.common.servers import PostgresServer

pytestmark = pytest.mark.server
ONE = text("SELECT 1")
WHO = text("SELECT pg_backend_pid()")


@pytest.fixture
def server():
    with PostgresServer() as made:
        yield made


@pytest.fixture
def database(server):
    made = Database(server.url, pool_size=4)
    yield made
    made.close()


def who(database: Database) -> int:
    with database.looking() as c:
        return c.execute(WHO).scalar_one()


def test_the_one_used_last_is_used_next_and_two_at_once_are_two(database):
    first = who(database)
    assert who(database) == first
    with database.noting() as one, database.looking() as other:
        assert one.execute(WHO).scalar_one() != other.execute(WHO).scalar_one()


def test_what_sqlalchemy_began_is_ended_before_the_next(database):
    with database.looking() as c:
        c.execute(ONE)
        assert c.in_transaction()
    with database.looking() as c:
        assert not c.in_transaction()


def test_a_transaction_that_was_left_open_is_undone(database):
    with database.noting() as c:
        c.execute(text("CREATE TABLE thing (key integer)"))
    before = who(database)
    with database.noting() as c:
        driver = c.connection.driver_connection
        driver.execute("BEGIN")
        driver.execute("INSERT INTO thing VALUES (1)")
    assert who(database) != before
    with database.looking() as c:
        assert c.execute(text("SELECT count(*) FROM thing")).scalar_one() == 0


def test_many_at_once_take_what_they_need_and_none_is_kept_from_those_who_wait(database):
    everyone_has_one, used = threading.Barrier(8), set()

    def use() -> None:
        with database.looking() as c:
            used.add(c.execute(WHO).scalar_one())
            everyone_has_one.wait(30)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(used) == 8
    assert len(database._at_hand._idle) <= 2
    assert database._at_hand._engine.pool.checkedout() <= 2

    # All are taken, and one more waits at the pool: whoever is done gives his back to it.
    taken = [database.looking() for _ in range(8)]
    for one in taken:
        one.__enter__()
    waiting = threading.Thread(target=who, args=(database,))
    waiting.start()
    time.sleep(0.2)
    taken[0].__exit__(None, None, None)
    waiting.join(5)
    assert not waiting.is_alive()
    for one in taken[1:]:
        one.__exit__(None, None, None)
    assert who(database)


def test_what_is_given_back_after_the_end_is_closed(database):
    with database.looking() as c:
        c.execute(ONE)
        database.close()
    assert database._at_hand._idle == []


def test_after_a_restart_of_the_server_one_fails_and_the_next_is_new(server, database):
    with database.looking() as one, database.looking() as other:
        one.execute(ONE)
        other.execute(ONE)
    server.kill()
    server.start()
    with pytest.raises(OperationalError):
        who(database)
    assert [who(database), who(database)]
    with database.looking() as one, database.looking() as other:
        assert one.execute(ONE).scalar_one() == other.execute(ONE).scalar_one() == 1
