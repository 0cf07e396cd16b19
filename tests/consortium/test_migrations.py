"""The migrations make exactly the tables that the code describes, on both databases; the newest is the named one. And
what the pool of single statements must not give out again.
"""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import consortium
from consortium.db import Base, Database
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
