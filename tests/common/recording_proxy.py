"""A TCP proxy on loopback that keeps every byte that a client has sent through it."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class RecordingProxy:
    """Relays connections to a target and records what the connecting side sends.

    Args:
        target: the service's address.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._sent: list[bytearray] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for open_socket in self._open:
            with contextlib.suppress(OSError):  # its peer may have been faster
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        for thread in self._threads:
            thread.join(10)

    def sent(self) -> bytes:
        """Everything that was sent so far, one connection after the other."""
        return b"".join(bytes(one) for one in self._sent)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            service = socket.create_connection(self._target)
            kept = bytearray()
            self._sent.append(kept)
            self._open += [client, service]
            for source, sink, record in ((client, service, kept), (service, client, None)):
                thread = threading.Thread(target=_relay, args=(source, sink, record), daemon=True)
                self._threads.append(thread)
                thread.start()


def _relay(source: socket.socket, sink: socket.socket, record: bytearray | None) -> None:
    try:
        while data := source.recv(1 << 16):
            if record is not None:
                record += data
            sink.sendall(data)
    except OSError:
        pass  # either side is gone: so is the connection
    for end in (source, sink):
        with contextlib.suppress(OSError):  # it may be closed already
            end.shutdown(socket.SHUT_RDWR)
