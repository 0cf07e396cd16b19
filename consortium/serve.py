"""Serves the API with gunicorn: one process of many threads, since long polls wait and uploads stream."""

from __future__ import annotations

import atexit
import gc
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from consortium.logs import configure_logging
from consortium.settings import Settings

_BACKLOG = 512


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, make_app: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._make_app, self._options = make_app, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            if name in self.cfg.settings:  # gunicorn has had a control socket since version 24
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()


def prepare(settings: Settings) -> None:
    """Makes the database and the folder of blobs before anything is served, so that what is wrong is said at once.

    Raises:
        ConsortiumError: one of them cannot be used; the sentence says why.
    """
    from consortium.blobs import check_blobs  # noqa: PLC0415
    from consortium.db import Database  # noqa: PLC0415

    check_blobs(settings.blobs)
    database = Database(settings.database)
    try:
        database.create()
    finally:
        database.close()


def listen(settings: Settings) -> socket.socket:
    """The listening socket; with port 0 on a free port.

    Raises:
        OSError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((settings.host, settings.port))
    listening.listen(_BACKLOG)
    listening.set_inheritable(True)
    return listening


def keep_loaded() -> None:
    """Spares the garbage collector what a process has loaded before its work begins: none of it will be garbage."""
    gc.collect()
    gc.freeze()


def make_app(settings: Settings) -> Flask:
    """Opens what the serving process works with, and makes its application; closed when the process ends."""
    # gunicorn's parent process only watches: it does not load all that serves.
    from consortium.http.app import create_app  # noqa: PLC0415
    from consortium.open_runtime import open_server_runtime  # noqa: PLC0415

    configure_logging(settings.log_level)
    keep_loaded()
    opened = ExitStack()
    runtime = opened.enter_context(open_server_runtime(settings))
    atexit.register(opened.close)
    return create_app(runtime, settings)


def serve(listening: socket.socket, settings: Settings) -> None:
    """Serves until a signal ends it.

    Args:
        listening: from `listen`.
        settings: threads and log level, and what to open.
    """
    options = {
        "bind": f"fd://{listening.fileno()}",
        "worker_class": "consortium.http.threads.LingeringWorker",
        "workers": 1,
        "threads": settings.threads,
        "worker_connections": 4096,
        "keepalive": 75,
        "timeout": 120,
        "graceful_timeout": 3,
        "max_requests": 0,
        "loglevel": settings.log_level.lower(),
        "accesslog": None,
        "control_socket_disable": True,
        "proc_name": "consortium",
    }
    _Server(lambda: make_app(settings), options).run()
