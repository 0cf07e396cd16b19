"""HTTP/1.1 to the service over one connection that is kept open: the standard library's client, which takes a node less
than a third of the processor time a request that the fuller ones do.

Nothing is repeated, redirected or unpacked here: `client` decides what an answer means and what is tried again.
"""

from __future__ import annotations

import http.client
import select
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from bank_node.errors import AnswerUnfit, SettingsInvalid

#: Beside a long poll's own time, what an answer may take to come, and a block to go.
GRACE_S = 30.0
#: A connection that was idle for longer is not used again: a firewall on the way may have forgotten it.
IDLE_S = 120.0
#: A body is sent in blocks of so many bytes, since a socket's timeout is for a whole `sendall`.
BLOCK_BYTES = 1 << 18
#: A body of at most so many bytes goes with the request's head: a second packet would wake the service a second time.
JOINED_BYTES = 1 << 14
_PORTS = {"http": 80, "https": 443}
_PATH_SAFE = "/%:@!$&'()*+,;=~"


@dataclass
class Traffic:
    """What has crossed the wire so far: bodies, without headers.

    Attributes:
        transfer_s: seconds spent on sending requests and on receiving bodies.
        waiting_s: seconds from the end of a request to the beginning of its answer: the service's own time, and what
            it holds a long poll back.
    """

    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    retries: int = 0
    transfer_s: float = 0.0
    waiting_s: float = 0.0


@dataclass(frozen=True)
class Request:
    """One request to the service.

    Attributes:
        method: GET, PUT or POST.
        target: the path with its query, as it is signed; a path of the service's address comes before it on the wire.
        body: what is sent.
        headers: beside those that every request has.
        most_bytes: the longest answer that is read; None for the client's own limit.
        sha256: of the body in hex, where the caller has it.
        meanwhile: done once the request is sent and before its answer is read: for an answer that takes its time.
    """

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int | None = None
    sha256: str | None = None
    meanwhile: Callable[[], None] | None = None

    @property
    def what(self) -> str:
        """For messages."""
        return f"{self.method} {self.target.partition('?')[0]}"


@dataclass(frozen=True)
class Answer:
    """An answer that was read to its end; its headers' names are in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx."""
        return self.status in range(200, 300)


class TransportFailed(Exception):
    """No answer, or not all of it: the connection could not be made, broke, or was silent for too long."""


class Transport(Protocol):
    """Carries requests; `HTTPTransport` is the real one.

    Attributes:
        url: the service's address, for messages.
        traffic: what was carried, and how long it took.
    """

    url: str
    traffic: Traffic

    def exchange(self, request: Request, headers: Mapping[str, str], *, most_bytes: int) -> Answer:
        """Sends a request and reads its answer.

        Args:
            request: what to send.
            headers: instead of the request's own.
            most_bytes: the longest answer that is read, where the request names no other. A refusal may always be
                as long as this: its document may be longer than what was asked for.

        Raises:
            TransportFailed: there was no whole answer.
            AnswerUnfit: it is longer than it may be, or packed.
        """


class _Joining(http.client.HTTPConnection):
    """Sends the body that it is given beforehand together with the head, which `http.client` sends in one piece."""

    body = b""

    def send(self, data: Any) -> None:
        """See `HTTPConnection.send`."""
        body, self.body = self.body, b""
        super().send(data + body if body else data)


class _JoiningTLS(_Joining, http.client.HTTPSConnection):
    """The same under TLS."""


class HTTPTransport:
    """The connection to the service; used by one thread at a time.

    A proxy is taken from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).

    Args:
        url: the service's address; may have a path.
        long_poll_s: how long the service may hold an answer back.
        connect_timeout_s: seconds until a connection attempt is given up.
        ca_file: certificates to trust instead of the system's.
        certificate: PEM file with certificate and key, for mutual TLS.

    Raises:
        SettingsInvalid: the address, or a proxy's, cannot be used.
    """

    def __init__(
        self, url: str, *, long_poll_s: float, connect_timeout_s: float, ca_file: Path | None = None,
        certificate: Path | None = None,
    ) -> None:  # fmt: skip
        self.url = url.rstrip("/")
        self.traffic = Traffic()
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, long_poll_s + GRACE_S
        address = urlsplit(self.url)
        self._host, self._port = _host_and_port("url", address)
        self._prefix = quote(address.path, safe=_PATH_SAFE)
        self._context: ssl.SSLContext | None = None
        if address.scheme == "https":
            self._context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
            if certificate is not None:
                self._context.load_cert_chain(str(certificate))
        self._proxy = _proxy_for(address.scheme, self._host)
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "bank-node"}
        if self._proxy is not None and self._context is None:
            # Without TLS a proxy is asked for the whole address; with TLS it is asked for a tunnel.
            self._prefix = f"http://{address.netloc.rpartition('@')[2]}{self._prefix}"
            self._headers |= self._proxy.headers
        self._connection: _Joining | None = None
        self._used_at_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def exchange(self, request: Request, headers: Mapping[str, str], *, most_bytes: int) -> Answer:
        """See `Transport`."""
        try:
            answer = self._exchange(self._connected(), request, headers, most_bytes)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransportFailed(type(error).__name__) from error
        except BaseException:
            # What is left of an answer that was not read, a stop signal's say, must not be taken for the next one.
            self.close()
            raise
        self._used_at_s = time.monotonic()
        return answer

    def _connected(self) -> _Joining:
        connection = self._connection
        if connection is not None and connection.sock is not None:
            if time.monotonic() - self._used_at_s <= IDLE_S and not _has_news(connection):
                return connection
            self.close()
        self._connection = connection = self._new_connection()
        connection.connect()
        connection.sock.settimeout(self._read_timeout_s)
        return connection

    def _new_connection(self) -> _Joining:
        proxy, timeout_s = self._proxy, self._connect_timeout_s
        host, port = (self._host, self._port) if proxy is None else (proxy.host, proxy.port)
        if self._context is None:
            return _Joining(host, port, timeout=timeout_s)
        connection = _JoiningTLS(host, port, timeout=timeout_s, context=self._context)
        if proxy is not None:
            connection.set_tunnel(self._host, self._port, dict(proxy.headers))
        return connection

    def _exchange(self, connection: _Joining, request: Request, headers: Mapping[str, str], most_bytes: int) -> Answer:
        began_s = time.perf_counter()
        self._send(connection, request, headers)
        sent_s = time.perf_counter()
        self.traffic.transfer_s += sent_s - began_s
        if request.meanwhile is not None:
            request.meanwhile()
            sent_s = time.perf_counter()
        try:
            response = connection.getresponse()
        finally:
            answered_s = time.perf_counter()
            self.traffic.waiting_s += answered_s - sent_s
        answer = _read(request, response, most_bytes)
        self.traffic.transfer_s += time.perf_counter() - answered_s
        return answer

    def _send(self, connection: _Joining, request: Request, headers: Mapping[str, str]) -> None:
        connection.putrequest(request.method, self._prefix + request.target, skip_accept_encoding=True)
        for name, value in (*self._headers.items(), *headers.items()):
            connection.putheader(name, value)
        if request.body or request.method != "GET":
            connection.putheader("Content-Length", str(len(request.body)))
        joined = len(request.body) <= JOINED_BYTES
        connection.body = request.body if joined else b""
        try:
            connection.endheaders()
            body = memoryview(b"" if joined else request.body)
            for start in range(0, len(body), BLOCK_BYTES):
                connection.send(body[start : start + BLOCK_BYTES])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the service may have answered before it has read everything; if not, reading fails as well


def _has_news(connection: _Joining) -> bool:
    """Whether anything came while nothing was asked: the other side has hung up, or does not speak HTTP."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _read(request: Request, response: http.client.HTTPResponse, most_bytes: int) -> Answer:
    """Reads an answer as it came, for as long as it may be: one that is packed could unpack to any size."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    packed = headers.get("content-encoding", "identity")
    if packed != "identity":
        raise AnswerUnfit(
            request.what, expected="an answer without Content-Encoding", got=packed,
            advice="switch compression off in the proxy before the service, or ask the operator to",
        )  # fmt: skip
    limit = most_bytes
    if request.most_bytes is not None and response.status in range(200, 300):
        limit = request.most_bytes
    content = response.read(limit + 1)
    if len(content) > limit:
        raise AnswerUnfit(
            request.what, expected=f"at most {limit} bytes", got="more", advice="ask the operator what they are"
        )
    if response.length:
        raise http.client.IncompleteRead(content, response.length)
    return Answer(response.status, response.reason, headers, content)


@dataclass(frozen=True)
class _Proxy:
    """A forward proxy; the headers are for it alone."""

    host: str
    port: int
    headers: Mapping[str, str]


def _proxy_for(scheme: str, host: str) -> _Proxy | None:
    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    if not url or proxy_bypass(host):
        return None
    address = urlsplit(url if "://" in url else f"http://{url}")
    where = f"{scheme.upper()}_PROXY"
    if address.scheme != "http":
        raise SettingsInvalid(f"{where}: expected the address of an http:// proxy, got one of {address.scheme}://")
    proxy_host, port = _host_and_port(where, address)
    headers = {}
    if address.username is not None:
        user = f"{unquote(address.username)}:{unquote(address.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    return _Proxy(proxy_host, port, headers)


def _host_and_port(where: str, address: SplitResult) -> tuple[str, int]:
    try:
        host, port = address.hostname or "", address.port or _PORTS[address.scheme]
        host.encode("idna")
    except ValueError as error:  # of the port, or of a name that cannot be looked up
        raise SettingsInvalid(f"{where}: expected an address with a host's name and its port, got another") from error
    if not host:
        raise SettingsInvalid(f"{where}: expected an address with a host, got one without")
    return host, port
