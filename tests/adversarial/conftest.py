"""What the tests of a lying server share: one recording of honest trainings, and a server that answers from it."""

from __future__ import annotations

import pytest

from tests.adversarial.lying_server import LyingServer, record


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """Made once: every test takes a copy of the moment that it needs."""
    return record(tmp_path_factory.mktemp("recording"))


@pytest.fixture
def server(recording):
    with LyingServer().serving() as server:
        server.files = dict(recording.files)
        yield server
