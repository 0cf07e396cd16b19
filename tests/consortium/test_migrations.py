"""The migrations make exactly the tables that the code describes, on both databases; the newest is the named one. And
what the pool of single statements must not give out again.
"""

from __future__ import annotations

import importlib
import pkgutil
import time

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import consortium
from consortium.db import Base, Database, DatabaseUnusable
from consortium.migrations import HEAD
from tests.common.servers import empty_database

pytestmark = pytest.mark.server


for module in pkgutil.walk_packages(consortium.__path__, "consortium."):
    if module.name.endswith(".tables"):
        importlib.import_module(module.name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    with empty_database(request.param, tmp_path) as made:
        yield made


def test_an_empty_database_gets_exactly_the_tables_that_the_code_describes(url):
    database = Database(url)
    database.create()
    database.create()  # again does nothing
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert set(Base.metadata.tables) == set(inspect(connection).get_table_names()) - {"alembic_version"}
    database.close()


def test_a_database_of_the_first_revision_is_brought_to_this_one(url):
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", "consortium:migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    database.create()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_a_database_of_another_version_is_left_as_it_is(url):
    database = Database(url)
    with database.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "consortium:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with pytest.raises(DatabaseUnusable, match="got older ones; `consortium db upgrade`"):
        database.require_current()
    database.create()
    database.require_current()
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    for use in (database.require_current, database.create):
        with pytest.raises(DatabaseUnusable, match="got revision 0999 of a newer version: start that"):
            use()
    database.close()


def test_how_far_a_clock_is_from_the_databases(url):
    database = Database(url)
    ahead = database.seconds_ahead(time.time() + 3700)
    assert ahead == 0 if database.is_sqlite else 3690 < ahead < 3710
    database.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_connection_left_in_a_transaction_is_not_used_again(url):
    database = Database(url)
    database.create()
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (number INTEGER)"))
    with database.noting() as connection:
        connection.execute(text("BEGIN"))
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    with database.noting() as connection:
        connection.execute(text("INSERT INTO kept VALUES (2)"))
    other = Database(url)
    with other.looking() as connection:
        assert connection.execute(text("SELECT number FROM kept")).scalars().all() == [2]
    other.close()
    database.close()


def test_the_newest_script_is_the_revision_that_the_service_expects():
    config = Config()
    config.set_main_option("script_location", "consortium:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
