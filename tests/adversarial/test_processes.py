"""The same door with nothing of the test inside: `consortium serve` in a process of its own, over PostgreSQL."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.ids import sha256_hex
from protocol.messages import EnrolmentRequest
from protocol.problems import ProblemType as P
from protocol.signing import key_text, sign_statement
from protocol.statements import Enrolment
from tests.adversarial.world import BINARY, JSON, Upload, check_problem, token_of
from tests.common.http_service import HttpTransport, enrol_with
from tests.common.processes import ServiceProcess
from tests.common.servers import PostgresServer

pytestmark = pytest.mark.server

MEBIBYTE = 1 << 20
TRAINING = f"{0:08}-0000-0000-0000-{0:012}"


@dataclass
class Running:
    service: ServiceProcess
    admin: str
    node: HttpTransport

    def invite(self, name: str) -> str:
        answer = httpx.post(
            f"{self.service.url}/v1/nodes/invitations", json={"name": name},
            headers={"Authorization": f"Bearer {self.admin}"}, timeout=30,
        )  # fmt: skip
        token: str = answer.json()["token"]
        return token

    def until_it_answers(self) -> None:
        """Those who were killed may have held the port for a moment longer."""
        for _ in range(200):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.service.url}/health", timeout=30)
                return
            time.sleep(0.05)
        raise AssertionError("the service does not answer")

    def refused(self, upload: Upload, kind: P, *words: str, token: str = "") -> None:
        headers = upload.headers | {"Authorization": f"Bearer {token or token_of(self.node, upload)}"}
        answer = httpx.request(
            upload.method, self.service.url + upload.target, content=upload.body, headers=headers, timeout=30
        )
        check_problem(answer.status_code, answer.headers["Content-Type"], answer.content, kind, *words)

    def refused_raw(self, upload: Upload, framing: str, body: bytes, kind: P, *words: str) -> None:
        """Sends these bytes and no more, and reads the answer."""
        lines = [f"{upload.method} {upload.target} HTTP/1.1", "Host: here", framing]
        lines += [f"{name}: {value}" for name, value in upload.headers.items()]
        lines += [f"Authorization: Bearer {token_of(self.node, upload)}"]
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=30) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            if body and framing.startswith("Content-Length"):
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection, method=upload.method)
            answer.begin()
            check_problem(answer.status, answer.getheader("Content-Type", ""), answer.read(), kind, *words)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder, most = tmp_path_factory.mktemp("service"), {"CONSORTIUM_CHECK_AT_ONCE_BYTES": "100000"}
    with (
        PostgresServer() as postgres,
        ServiceProcess(folder, CONSORTIUM_DATABASE_URL=postgres.url, **most) as service,
    ):
        admin = service.cli("token", "create", "ops", "--role", "admin")["token"]
        invited = service.cli("node", "invite", "bank", token=admin)["token"]
        node = enrol_with(service.url, "bank", invited)
        yield Running(service, admin, node)
        # It answers as before, and its log tells of no failure of its own.
        assert node.work().items == ()
        node.client.close()
        assert "request failed" not in service.log.read_text()


def uploads() -> dict[str, Upload]:
    path = f"trainings/{TRAINING}"
    return {
        "json": Upload(f"{path}/acceptance", b"{}" * 100, JSON),
        "small": Upload(f"{path}/ceremony/0/sealed/{TRAINING}", b"x" * 5000, BINARY),
        "large": Upload(f"{path}/ceremony/0/sealed/{TRAINING}", b"x" * 3 * MEBIBYTE, BINARY),
    }


@pytest.mark.parametrize("kind", ["json", "small", "large"])
def test_what_is_too_large_is_refused_before_it_is_read(running, kind):
    running.refused_raw(uploads()[kind], f"Content-Length: {1 << 40}", b"", P.TOO_LARGE, "expected at most")


@pytest.mark.parametrize("kind", ["json", "small", "large"])
def test_what_has_no_declared_length_is_refused(running, kind):
    running.refused_raw(uploads()[kind], "Transfer-Encoding: chunked", b"1\r\nx\r\n0\r\n\r\n", P.LENGTH_REQUIRED)


def test_a_body_of_undeclared_length_is_refused_where_there_is_none(running):
    for upload in (Upload("work", method="GET"), Upload(f"trainings/{TRAINING}/farewell")):
        body = b"1\r\nx\r\n0\r\n\r\n"
        running.refused_raw(upload, "Transfer-Encoding: chunked", body, P.LENGTH_REQUIRED, "expected no body")


@pytest.mark.parametrize("kind", ["json", "small", "large"])
def test_what_ends_early_is_refused_and_leaves_nothing_behind(running, kind):
    upload = uploads()[kind]
    size = len(upload.body)
    half = upload.body[: size // 2]
    running.refused_raw(upload, f"Content-Length: {size}", half, P.BAD_REQUEST, f"expected {size} bytes")
    assert list((running.service.folder / "blobs" / ".incoming").iterdir()) == []


def test_what_is_left_of_a_refused_body_is_not_the_next_request(running):
    # The rest of a refused upload that looks like a request must not be answered as one.
    inner = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
    upload = uploads()["json"]
    lines = [f"PUT {upload.target} HTTP/1.1", "Host: here", "Content-Type: text/plain", f"Content-Length: {len(inner)}"]
    with socket.create_connection(("127.0.0.1", running.service.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + inner)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"415" in received.split(b"\r\n")[0]


@pytest.mark.parametrize("path", ["nodes/" + "a" * 63 + "%00", "models/" + "a" * 63 + "%00", "nodes/%00", "plans/%00x"])
def test_a_name_that_the_database_cannot_hold_is_refused(running, path):
    running.refused(Upload(path, method="GET"), P.VALIDATION, "path", token=running.admin)


def test_a_reason_that_the_database_cannot_hold_is_refused(running):
    for path in ("refusal", "complaint"):
        upload = Upload(f"trainings/{TRAINING}/{path}", json.dumps({"reason": "a\0b"}).encode(), JSON)
        running.refused(upload, P.VALIDATION, "reason")
    upload = Upload(f"trainings/{TRAINING}/cancel", json.dumps({"reason": "a\0b"}).encode(), JSON, "POST")
    running.refused(upload, P.VALIDATION, "reason", token=running.admin)


@pytest.mark.parametrize("issuer", ["\0", "\ud800", "x" * 1000])
def test_a_token_of_an_issuer_that_the_database_cannot_hold_is_refused(running, issuer):
    upload = Upload("work", method="GET")
    running.refused(upload, P.NOT_AUTHENTICATED, token=token_of(running.node, upload, iss=issuer))


def test_of_two_banks_that_use_a_token_at_once_one_is_enrolled(running):
    for attempt in range(4):
        token = running.invite(f"twice-{attempt}")
        answers: list[httpx.Response] = []
        together = threading.Barrier(4)

        def enrol(name: str, token: str, answers: list[httpx.Response], together: threading.Barrier) -> None:
            key = Ed25519PrivateKey.generate()
            enrolment = Enrolment(
                name=name, signing_key=key_text(key.public_key()), sealing_key="",
                token_digest=sha256_hex(token.encode()),
            )  # fmt: skip
            body = EnrolmentRequest(token=token, enrolment=sign_statement(key, enrolment)).model_dump_json()
            together.wait()
            answers.append(httpx.post(f"{running.service.url}/v1/nodes", content=body, headers=JSON, timeout=30))

        arguments = (f"twice-{attempt}", token, answers, together)
        threads = [threading.Thread(target=enrol, args=arguments) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]
        for answer in answers:
            if answer.status_code == 403:
                media_type = answer.headers["Content-Type"]
                check_problem(403, media_type, answer.content, P.ENROLMENT_TOKEN_INVALID, "an unused token")


def test_a_request_from_before_a_restart_is_refused_after_it(running):
    upload = Upload("work", method="GET")
    then = int(time.time()) - 30
    token = token_of(running.node, upload, iat=then, exp=then + 60)
    running.service.kill()
    running.service.start()
    running.until_it_answers()
    running.refused(upload, P.STALE_TOKEN, "before the service was started", token=token)
