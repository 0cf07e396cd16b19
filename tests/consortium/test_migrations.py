"""The migrations make exactly the tables that the code describes, on both databases; the newest is the named one."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

import consortium
from consortium.db import Base, Database
from consortium.migrations import HEAD
from tests.common.servers import PostgresServer

pytestmark = pytest.mark.server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'consortium.db'}"
        return
    server = PostgresServer()
    server.start()
    yield server.url
    server.stop()


def test_an_empty_database_gets_exactly_the_tables_that_the_code_describes(url):
    for module in pkgutil.walk_packages(consortium.__path__, "consortium."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    database = Database(url)
    database.create()
    database.create()  # again does nothing
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert set(Base.metadata.tables) == set(inspect(connection).get_table_names()) - {"alembic_version"}
    database.close()


def test_the_newest_script_is_the_revision_that_the_service_expects():
    config = Config()
    config.set_main_option("script_location", "consortium:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
