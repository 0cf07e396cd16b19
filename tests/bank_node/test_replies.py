"""What the node reads of an answer over a real connection: nothing packed, and no more than it may be."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bank_node.client import ServiceClient
from bank_node.errors import AnswerUnfit, ServiceRefused
from bank_node.exit_codes import ExitCode, exit_code_of
from bank_node.transport import HTTPTransport
from protocol.problems import MEDIA_TYPE, Problem, ProblemType

NODE = "01930000-0000-7000-8000-000000000002"
BLOCK = bytes(1 << 16)


@contextmanager
def answering(write):
    """A client of a server that answers every request with `write(handler)`; what was asked, too."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(dict(self.headers))
            try:
                write(self)
            except OSError:
                self.close_connection = True  # the node has hung up

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with HTTPTransport(url, long_poll_s=1, connect_timeout_s=5) as transport:
            yield (
                ServiceClient(transport, node=NODE, key=Ed25519PrivateKey.generate(), max_reply_bytes=1 << 20,
                              give_up_after_s=0),
                asked,
            )  # fmt: skip
        server.shutdown()
        thread.join(10)


def whole(body, status=200, **headers):
    def write(handler):
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return write


def endless(handler):
    """Blocks without an end and without a declared length, until the other side has had enough."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(1 << 14):  # a gigabyte
        handler.wfile.write(b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", "zstd", "x-unheard-of"])
def test_a_packed_answer_is_refused_and_not_unpacked(packing):
    bomb = gzip.compress(bytes(64 << 20))
    with answering(whole(bomb, Content_Encoding=packing)) as (client, asked):
        with pytest.raises(AnswerUnfit, match="Content-Encoding") as caught:
            client.get_bytes("x")
        assert caught.value.got == packing
        assert exit_code_of(caught.value) is ExitCode.SERVICE_REFUSED
        assert client.traffic.bytes_down == 0
        assert [headers["Accept-Encoding"] for headers in asked] == ["identity"]


def test_what_has_no_end_is_not_read_to_it():
    with answering(endless) as (client, _), pytest.raises(AnswerUnfit, match=f"at most {1 << 20} bytes"):
        client.get_bytes("x")


def test_an_answer_of_known_length_is_not_read_beyond_it():
    with answering(whole(bytes(1001))) as (client, _):
        with pytest.raises(AnswerUnfit, match="at most 1000 bytes"):
            client.get_bytes("x", most_bytes=1000)
        assert client.get_bytes("x", most_bytes=1001) == bytes(1001)


def test_a_problem_document_may_be_longer_than_what_was_asked_for():
    problem = Problem.of(ProblemType.FORBIDDEN, "a sentence").model_dump_json().encode()
    with (
        answering(whole(problem, status=403, Content_Type=MEDIA_TYPE)) as (client, _),
        pytest.raises(ServiceRefused, match="a sentence"),
    ):
        client.get_bytes("x", most_bytes=3)
