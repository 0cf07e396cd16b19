"""Real servers on loopback ports: Redis and PostgreSQL, started from the system's packages, stopped by process id.

Where the test runs as root PostgreSQL runs as `postgres`, since it refuses root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on the port. Where nobody does the system may connect a probe to itself."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0 and probe.getsockname() != probe.getpeername()


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = 30.0) -> None:
    """Returns once somebody listens on the port."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server on port {port} ended with {process.returncode}")
        if listens(port):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port} after {timeout_s} s")


class Server:
    """A process with a port; may be killed and started again. As a context it runs, and is stopped at its end."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL: no goodbyes."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it."""
        self._end(signal.SIGTERM)

    def _end(self, with_signal: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(with_signal)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(15)
        self.process = None


class RedisServer(Server):
    """A Redis that keeps nothing on disk: killing it loses its data."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it."""
        command = [
            shutil.which("redis-server") or "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", tempfile.gettempdir(),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)


def postgres_binaries() -> Path:
    """The folder of the newest installed PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    path = shutil.which("postgres")
    if path is None:
        raise FileNotFoundError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return Path(path).parent


class PostgresServer(Server):
    """A PostgreSQL with a data folder of its own; killed and started again it recovers from its log."""

    def __init__(self) -> None:
        self.port = free_port()
        self._binaries = postgres_binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="consortium-postgres-"))
        self._owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._owner is not None:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        self.url = f"postgresql+psycopg://consortium@127.0.0.1:{self.port}/postgres"
        self._run(["initdb", "-D", str(self.folder / "data"), "-U", "consortium", "--auth=trust", "--no-sync"])

    def _options(self) -> dict[str, object]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    def _run(self, command: list[str]) -> None:
        command[0] = str(self._binaries / command[0])
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._options())  # type: ignore[call-overload]

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        command = [
            str(self._binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
            "-h", "127.0.0.1", "-k", str(self.folder), "-c", "max_connections=200", "-c", "shared_buffers=32MB",
        ]  # fmt: skip
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._options()
        )
        wait_for_port(self.port, self.process)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            ready = subprocess.run(
                [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"], check=False
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise TimeoutError("PostgreSQL does not take connections")

    def kill(self) -> None:
        """SIGKILL to the server and what it has started."""
        if self.process is None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(15)
        self.process = None
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Ends it at once and removes its data."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database: `sqlite`, in the folder, or `postgresql`, on a server of its own."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'consortium.db'}"
        return
    with PostgresServer() as server:
        yield server.url
