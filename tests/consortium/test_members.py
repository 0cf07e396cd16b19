"""A bank that was removed comes back under its own name: over real HTTP, with a real database."""

from __future__ import annotations

import json

import httpx
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consortium.access.service import Role, create_token
from consortium.cli.main import main
from consortium.members import service
from consortium.members.errors import NodeNameTaken
from protocol.ids import sha256_hex
from protocol.messages import EnrolmentRequest
from protocol.signing import key_text, sign_statement
from protocol.statements import Enrolment
from tests.common.http_service import enrol_bank, enrol_with, served
from tests.common.tables_learning import build


@pytest.fixture
def running(tmp_path):
    with served(tmp_path, build) as (runtime, url):
        with runtime.act("test.token") as (s, _, now):
            _, token = create_token(s, name="ops", role=Role.ADMIN, by="test", now=now)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as operator:
            yield runtime, url, operator


def enrolment(runtime, name: str, key: Ed25519PrivateKey) -> EnrolmentRequest:
    with runtime.act("test.invite") as (s, _, now):
        _, token = service.invite(s, name=name, by="test", lifetime_s=600, now=now)
    applied = Enrolment(
        name=name, signing_key=key_text(key.public_key()), sealing_key="", token_digest=sha256_hex(token.encode())
    )
    return EnrolmentRequest(token=token, enrolment=sign_statement(key, applied))


def test_a_removed_bank_comes_back_under_its_name_and_the_record_shows_both(running):
    runtime, url, operator = running
    first = enrol_bank(runtime, url, "bank-a")
    assert operator.post("/v1/nodes/invitations", json={"name": "bank-a"}).status_code == 409
    assert operator.delete("/v1/nodes/bank-a").json()["id"] == first.node

    second = enrol_bank(runtime, url, "bank-a")
    assert second.node != first.node
    shown = operator.get("/v1/nodes").json()["nodes"]
    assert [(n["id"], n["name"], n["removed_at"] is None) for n in shown] == [
        (first.node, "bank-a", False), (second.node, "bank-a", True),
    ]  # fmt: skip
    assert operator.get("/v1/nodes/bank-a").json()["id"] == second.node
    assert operator.get(f"/v1/nodes/{first.node}").json()["id"] == first.node
    assert second.work().items == ()
    with runtime.db.reading("test") as s:
        assert [node.id for node in service.active_nodes(s)] == [second.node]

    assert operator.delete("/v1/nodes/bank-a").json()["id"] == second.node
    assert operator.delete("/v1/nodes/bank-a").json()["id"] == second.node  # again: still the one that went last
    for transport in (first, second):
        transport.client.close()


def test_of_a_name_only_one_is_enrolled_at_a_time(running):
    runtime, url, operator = running
    early = enrolment(runtime, "bank-a", Ed25519PrivateKey.generate())  # two tokens of one name, both unused
    enrol_bank(runtime, url, "bank-a").client.close()
    answer = httpx.post(
        f"{url}/v1/nodes", content=early.model_dump_json(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[1]) == (409, "name-taken")
    with runtime.act("test.invite") as (s, _, now), pytest.raises(NodeNameTaken, match="node remove bank-a"):
        service.invite(s, name="bank-a", by="test", lifetime_s=600, now=now)
    assert len(operator.get("/v1/nodes").json()["nodes"]) == 1


def test_invitations_that_are_open_are_shown_where_another_is_made_and_in_a_list(running):
    _, url, operator = running

    def invite(name, **more):
        return operator.post("/v1/nodes/invitations", json={"name": name} | more).json()

    def shown():
        return [one["name"] for one in operator.get("/v1/nodes/invitations").json()["invitations"]]

    def run(*arguments):
        token = operator.headers["Authorization"].removeprefix("Bearer ")
        return CliRunner().invoke(main, ["node", *arguments, "--url", url, "--token", token])

    assert shown() == []
    first = invite("bank-a")
    assert first["also_open"] == []
    (earlier,) = invite("bank-a")["also_open"]
    assert earlier == {
        "name": "bank-a", "created_at": earlier["created_at"], "created_by": "ops", "expires_at": first["expires_at"],
    }  # fmt: skip
    assert invite("bank-b", lifetime_s=1e-6)["also_open"] == []  # expired by the time that anybody looks
    assert shown() == ["bank-a", "bank-a"]
    assert first["token"] not in operator.get("/v1/nodes/invitations").text

    said = run("invite", "bank-a")
    assert said.stderr.count("an earlier invitation of bank-a holds as well, made by ops at ") == 2
    assert said.stdout.count("\n") == 1  # the token alone
    assert run("invitations").stdout.count("bank-a\t") == 3
    assert len(json.loads(run("invitations", "--json").stdout)) == 3
    enrol_with(url, "bank-a", first["token"]).client.close()
    assert shown() == ["bank-a", "bank-a"]  # the others hold again once this node is removed


def test_an_invitation_that_was_taken_back_enrols_nobody(running):
    _, url, operator = running
    sent = operator.post("/v1/nodes/invitations", json={"name": "bank-a"}).json()["token"]
    kept = operator.post("/v1/nodes/invitations", json={"name": "bank-b"}).json()["token"]
    token = operator.headers["Authorization"].removeprefix("Bearer ")
    for code, said in ((0, "1 invitations of bank-a are taken back"), (3, "none is open")):
        done = CliRunner().invoke(main, ["node", "uninvite", "bank-a", "--url", url, "--token", token])
        assert done.exit_code == code
        assert said in done.output
    with pytest.raises(AssertionError, match="was taken back"):
        enrol_with(url, "bank-a", sent)
    enrol_with(url, "bank-b", kept).client.close()


def test_a_removed_nodes_key_is_not_taken_again(running):
    runtime, url, operator = running
    key = Ed25519PrivateKey.generate()
    for expected in (201, 409):
        request = enrolment(runtime, "bank-a", key)
        answer = httpx.post(
            f"{url}/v1/nodes", content=request.model_dump_json(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == expected
        operator.delete("/v1/nodes/bank-a")
    assert "comes back with a new home folder" in answer.json()["detail"]
