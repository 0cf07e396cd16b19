"""Operators' tokens at the command line, on a real database: a name is enough where it names one token in use."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from consortium.access.service import Role, create_token, tokens_in_use
from consortium.cli.main import main
from consortium.db import Database


@pytest.fixture
def token(tmp_path):
    def run(*arguments, code=0):
        done = CliRunner().invoke(main, ["token", *arguments, "--data-dir", str(tmp_path)])
        assert done.exit_code == code, done.output
        return done

    run("create", "first", "--init")
    return run


def made(token, *arguments):
    done = token("create", *arguments, "--json")
    return json.loads(done.stdout)["id"], done.stderr


def test_a_name_that_is_in_use_is_said_when_another_token_gets_it(token):
    first, said = made(token, "ops", "--role", "admin")
    assert said == ""
    second, said = made(token, "ops")
    assert said == (
        f"consortium: warning: token {first} (admin) is named ops as well, and goes on; `consortium token revoke "
        f"{first}` ends it\n"
    )
    token("revoke", first)
    token("revoke", second)
    assert made(token, "ops")[1] == ""  # revoked ones are no longer in use


def test_a_token_is_revoked_by_its_name_if_there_is_one(token):
    only, _ = made(token, "ops")
    assert f"token {only} (ops) is revoked" in token("revoke", "ops").output
    assert "expected the name of a token in use" in token("revoke", "ops", code=3).output
    assert f"token {only} (ops) is revoked" in token("revoke", only).output  # by its id again
    both = {made(token, "ops", "--role", role)[0]: role for role in ("viewer", "admin")}
    refused = token("revoke", "ops", code=3).output
    assert "that means 2 of them; give the id of one" in refused
    for identifier, role in both.items():
        assert f"{identifier} ({role})" in refused
    left, last = both
    token("revoke", last)
    assert f"token {left} (ops) is revoked" in token("revoke", "ops").output
    assert "got those of none" in token("revoke", "nobody", code=3).output
    assert "got those of none" in token("revoke", last[:5], code=3).output
    assert f"token {last} (ops) is revoked" in token("revoke", last[:8]).output


def test_a_token_that_has_expired_is_not_in_use(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'consortium.db'}")
    database.create()
    now = time.time()
    with database.transaction("test.tokens") as s:
        for lifetime_s in (30, None):
            row, _ = create_token(s, name="ops", role=Role.VIEWER, by="test", now=now, lifetime_s=lifetime_s)
        s.flush()
        assert len(tokens_in_use(s, "ops", now=now + 29)) == 2
        assert tokens_in_use(s, "ops", now=now + 31) == [row]
    database.close()
