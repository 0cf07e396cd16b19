"""The service behind real HTTP on a loopback port, in this process; and requests to it as a node."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel
from werkzeug.serving import make_server

from consortium.clock import Clock
from consortium.http.app import create_app
from consortium.members.service import invite
from consortium.open_runtime import open_server_runtime
from consortium.runtime import Runtime
from consortium.settings import Settings
from protocol.ids import sha256_hex
from protocol.messages import STATEMENT_HEADER, Accepted, EnrolmentReply, EnrolmentRequest, Work
from protocol.request_auth import sign_request
from protocol.signing import key_text, sign_statement
from protocol.statements import Enrolment, SignedStatement


@contextmanager
def served(folder: Path, build: Any, *, clock: Clock | None = None, **options: Any) -> Iterator[tuple[Runtime, str]]:
    """A service on a free port: its runtime and its address."""
    settings = Settings(data_dir=folder, **options)
    with open_server_runtime(settings, build=build, clock=clock) as runtime:
        runtime.db.create()
        server = make_server("127.0.0.1", 0, create_app(runtime, settings), threaded=True)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield runtime, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


class HttpTransport:
    """Signed requests as one node."""

    def __init__(self, url: str, node: str, key: Ed25519PrivateKey) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.node, self.key = node, key
        self.requests = 0

    def send_once(
        self, method: str, path: str, body: bytes, headers: dict[str, str], wait: float | None
    ) -> httpx.Response:
        """One signed request."""
        target = f"/v1/{path}" + (f"?{urlencode({'wait': wait})}" if wait is not None else "")
        token = sign_request(
            self.key, node=self.node, method=method, target=target, sha256=hashlib.sha256(body).digest(),
            now_s=time.time(),
        )  # fmt: skip
        self.requests += 1
        return self.client.request(
            method, target, content=body, headers={**headers, "Authorization": f"Bearer {token}"}
        )

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str], wait: float | None) -> bytes:
        answer = self.send_once(method, path, body, headers, wait)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path}: {answer.text}")
        return answer.content

    def work(self, wait: float = 0.0) -> Work:
        return Work.model_validate_json(self._send("GET", "work", b"", {}, wait))

    def put_json(self, path: str, body: BaseModel | None, *, wait: float | None = None) -> Accepted:
        data = b"" if body is None else body.model_dump_json().encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        return Accepted.model_validate_json(self._send("PUT", path, data, headers, wait))

    def put_bytes(
        self, path: str, data: bytes, statement: SignedStatement | None, *, wait: float | None = None
    ) -> Accepted:
        headers = {"Content-Type": "application/octet-stream"}
        if statement is not None:
            headers[STATEMENT_HEADER] = statement.to_header()
        return Accepted.model_validate_json(self._send("PUT", path, data, headers, wait))

    def get_json(self, path: str, model: type[Any]) -> Any:
        return model.model_validate_json(self._send("GET", path, b"", {}, None))

    def get_bytes(self, path: str) -> bytes:
        return self._send("GET", path, b"", {}, None)


def enrol_bank(runtime: Runtime, url: str, name: str) -> HttpTransport:
    """Invites a node and enrols it over HTTP."""
    with runtime.act("test.invite") as (s, _, now):
        _, token = invite(s, name=name, by="test", lifetime_s=600, now=now)
    return enrol_with(url, name, token)


def enrol_with(url: str, name: str, token: str) -> HttpTransport:
    """Enrols a node over HTTP with a one-time token."""
    key = Ed25519PrivateKey.generate()
    enrolment = Enrolment(
        name=name, signing_key=key_text(key.public_key()), sealing_key="", token_digest=sha256_hex(token.encode())
    )
    request = EnrolmentRequest(token=token, enrolment=sign_statement(key, enrolment))
    answer = httpx.post(
        f"{url}/v1/nodes", content=request.model_dump_json(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code < 300, answer.text
    return HttpTransport(url, EnrolmentReply.model_validate_json(answer.content).node, key)
