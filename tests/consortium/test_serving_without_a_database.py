"""A server that starts while its database is away starts, and says so to who asks."""

from __future__ import annotations

import pytest

from consortium.serve import make_app, prepare
from consortium.settings import Settings
from protocol.problems import MEDIA_TYPE
from tests.common.servers import PostgresServer

pytestmark = pytest.mark.server


def test_a_server_starts_while_its_database_is_away_and_answers_once_it_is_back(tmp_path):
    database = PostgresServer()
    database.start()
    try:
        settings = Settings(data_dir=tmp_path, database_url=database.url)
        prepare(settings)
        database.kill()
        client = make_app(settings).test_client()  # as the serving process does, which may come later than its parent
        assert client.get("/health").status_code == 200
        headers = {"Authorization": f"Bearer fco_{'x' * 43}"}
        away = client.get("/v1/nodes", headers=headers)
        assert (away.status_code, away.content_type) == (503, MEDIA_TYPE)
        assert int(away.headers["Retry-After"]) > 0
        database.start()
        assert client.get("/v1/nodes", headers=headers).status_code == 401
    finally:
        database.stop()
