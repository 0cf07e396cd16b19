"""The one connection to the service: kept, never taken on after a failure, through a proxy, under TLS."""

import contextlib
import datetime as dt
import ipaddress
import signal
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bank_node.errors import SettingsInvalid, Stopped
from bank_node.transport import BLOCK_BYTES, HTTPTransport, Request, TransportFailed

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MOST = 1 << 20


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Far:
    """The other end: one function a connection, in order; it keeps the requests that it has read."""

    def __init__(self, *connections, context=None):
        self._connections, self._context = connections, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(10)
        self.port = self._listening.getsockname()[1]
        self.requests = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with self._listening:
            for serve in self._connections:
                connection, _ = self._listening.accept()
                connection.settimeout(10)
                with contextlib.suppress(OSError), connection:
                    if self._context is None:
                        serve(self, connection)
                        continue
                    with self._context.wrap_socket(connection, server_side=True) as secured:
                        serve(self, secured)

    def read(self, connection):
        """One request: head and body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = [line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:]]
        size = int({name.lower(): value for name, value in fields}.get(b"content-length", b"0"))
        while len(body) < size:
            body += self._some(connection)
        self.requests.append((head.decode(), body))

    @staticmethod
    def _some(connection):
        part = connection.recv(1 << 16)
        if not part:
            raise OSError("hung up")
        return part


def answering(*answers):
    def serve(far, connection):
        for answer in answers:
            far.read(connection)
            connection.sendall(answer)

    return serve


def silent(far, connection):
    far.read(connection)
    far._some(connection)  # until the node hangs up


@contextlib.contextmanager
def transport_to(far, *, path="", scheme="http", **settings):
    url = f"{scheme}://127.0.0.1:{far.port}{path}"
    with HTTPTransport(url, **{"long_poll_s": 1, "connect_timeout_s": 5} | settings) as transport:
        yield transport


def get(transport, target="/v1/work", **parts):
    return transport.exchange(Request("GET", target, **parts), {"X": "y"}, most_bytes=MOST)


def test_a_connection_is_kept_and_the_request_is_as_asked():
    far = Far(answering(FINE, FINE))
    with transport_to(far, path="/fraud/") as transport:
        assert get(transport, "/v1/work?wait=20").content == b"ok"
        answer = transport.exchange(Request("PUT", "/v1/x", b"abc"), {"A": "b"}, most_bytes=MOST)
    assert (answer.status, answer.reason, answer.headers) == (200, "OK", {"content-length": "2"})
    (first, nothing), (second, body) = far.requests
    assert first.startswith("GET /fraud/v1/work?wait=20 HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{far.port}\r\n" in first
    assert first.endswith("\r\nX: y")
    assert "\r\nAccept-Encoding: identity\r\n" in first
    assert "Content-Length" not in first
    assert nothing == b""
    assert second.startswith("PUT /fraud/v1/x HTTP/1.1\r\n")
    assert "\r\nContent-Length: 3" in second
    assert body == b"abc"


def test_a_put_of_nothing_says_so():
    far = Far(answering(FINE))
    with transport_to(far) as transport:
        transport.exchange(Request("PUT", "/v1/x"), {}, most_bytes=MOST)
    assert "\r\nContent-Length: 0" in far.requests[0][0]


def test_what_is_done_meanwhile_is_done_once_the_request_has_gone_and_before_its_answer():
    done = threading.Event()

    def serve(far, connection):
        far.read(connection)  # the whole of it, before anything is done
        assert done.wait(10)
        connection.sendall(FINE)

    far = Far(serve)
    with transport_to(far) as transport:
        request = Request("PUT", "/v1/x", b"abc", meanwhile=done.set)
        assert transport.exchange(request, {}, most_bytes=MOST).content == b"ok"
    assert far.requests[0][1] == b"abc"


def test_a_connection_that_the_service_has_closed_meanwhile_is_replaced():
    far = Far(answering(FINE), answering(FINE))
    with transport_to(far) as transport:
        get(transport)
        time.sleep(0.2)
        assert get(transport).content == b"ok"


def test_a_connection_that_was_idle_for_long_is_replaced(monkeypatch):
    far = Far(lambda far, connection: (answering(FINE)(far, connection), far._some(connection)), answering(FINE))
    with transport_to(far) as transport:
        get(transport)
        monkeypatch.setattr("bank_node.transport.IDLE_S", -1.0)
        assert get(transport).content == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + bytes(1 << 17),
    ],
)
def test_half_an_answer_is_none_and_the_next_request_has_a_connection_of_its_own(answer):
    far = Far(answering(answer), answering(FINE))
    with transport_to(far) as transport:
        with pytest.raises(TransportFailed):
            get(transport)
        assert get(transport).content == b"ok"


def test_who_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr("bank_node.transport.GRACE_S", 0.2)
    far = Far(silent, answering(FINE))
    with transport_to(far, long_poll_s=0.1) as transport:
        with pytest.raises(TransportFailed, match="Timeout"):
            get(transport)
        assert transport.traffic.waiting_s >= 0.3
        assert get(transport).content == b"ok"


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        HTTPTransport(f"http://127.0.0.1:{port}", long_poll_s=1, connect_timeout_s=5) as transport,
        pytest.raises(TransportFailed, match="ConnectionRefused"),
    ):
        get(transport)


def test_after_a_stop_in_mid_request_the_late_answer_is_not_taken_for_the_next():
    far = Far(silent, answering(FINE))

    def stop(*_):
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with transport_to(far) as transport:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(Stopped):
                get(transport)
            assert get(transport).content == b"ok"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_answer_that_comes_before_the_whole_body_went_is_read():
    def refuse(far, connection):
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    far = Far(refuse)
    with transport_to(far) as transport:
        answer = transport.exchange(Request("PUT", "/v1/x", bytes(20 * BLOCK_BYTES)), {}, most_bytes=MOST)
    assert (answer.status, answer.content) == (413, b"no")


def test_a_large_body_arrives_whole():
    body = bytes(range(256)) * (1 << 13)
    far = Far(answering(FINE))
    with transport_to(far) as transport:
        transport.exchange(Request("PUT", "/v1/x", body), {}, most_bytes=MOST)
    assert far.requests[0][1] == body


def test_a_redirection_is_an_answer():
    far = Far(answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    with transport_to(far) as transport:
        assert get(transport).status == 302


def test_a_header_cannot_be_smuggled_in():
    far = Far(answering(FINE))
    with transport_to(far) as transport, pytest.raises(ValueError, match="header value"):
        transport.exchange(Request("GET", "/v1/work"), {"A": "b\r\nC: d"}, most_bytes=MOST)


def test_a_proxy_of_the_environment_is_asked_for_the_whole_address(monkeypatch):
    far = Far(answering(FINE))
    monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{far.port}")
    with HTTPTransport("http://consortium.test:81/a", long_poll_s=1, connect_timeout_s=5) as transport:
        assert get(transport).content == b"ok"
    ((head, _),) = far.requests
    assert head.startswith("GET http://consortium.test:81/a/v1/work HTTP/1.1\r\nHost: consortium.test:81\r\n")
    assert "\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n" in head


def test_under_tls_a_proxy_is_asked_for_a_tunnel_and_sees_no_header(monkeypatch):
    far = Far(answering(b"HTTP/1.1 407 No\r\n\r\n"))
    monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{far.port}")
    with (
        HTTPTransport("https://consortium.test", long_poll_s=1, connect_timeout_s=5) as transport,
        pytest.raises(TransportFailed),
    ):
        get(transport)
    ((head, _),) = far.requests
    assert head.startswith("CONNECT consortium.test:443 HTTP/1.")
    assert "X: y" not in head


def test_no_proxy_is_honoured(monkeypatch):
    far = Far(answering(FINE))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with transport_to(far) as transport:
        assert get(transport).content == b"ok"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1:x", "http://:1"])
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(SettingsInvalid, match="HTTPS_PROXY"):
        HTTPTransport("https://consortium.test", long_poll_s=1, connect_timeout_s=5)


@pytest.mark.parametrize(
    "url", ["http://a:b", "http://a:99999", "http://:80", "http://a..b", f"http://{'a' * 64}.test"]
)
def test_an_address_that_cannot_be_used_is_refused_at_once(url):
    with pytest.raises(SettingsInvalid, match="url"):
        HTTPTransport(url, long_poll_s=1, connect_timeout_s=5)


def certificate(folder, name):
    """A certificate that is its own authority, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    return path


def test_tls_with_a_private_authority_and_a_clients_certificate(tmp_path):
    service, bank = certificate(tmp_path, "service"), certificate(tmp_path, "bank")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(bank))
    context.load_cert_chain(str(service))
    context.verify_mode = ssl.CERT_REQUIRED
    far = Far(answering(FINE, FINE), answering(FINE), context=context)
    with transport_to(far, scheme="https", ca_file=service, certificate=bank) as transport:
        assert get(transport).content == b"ok"
        assert get(transport).content == b"ok"
    with (
        transport_to(far, scheme="https", certificate=bank) as transport,
        pytest.raises(TransportFailed, match="SSLCertVerificationError"),
    ):
        get(transport)
