"""What `docker compose up` makes of docker/compose.yaml, without an engine.

Redis and PostgreSQL are Debian's instead of their images; all other containers run out of our images with the file's
environments, volumes, commands and health checks, in a network of their own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.common.servers import postgres_binaries
from tests.images.compose import COMPOSE, read_compose
from tests.images.container import Container, new_volume
from tests.images.image import Image

#: Brings the loopback interface up (SIOCSIFFLAGS with IFF_UP) and stays.
_HOLD = """
import fcntl, signal, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))
print("up", flush=True)
signal.pause()
"""


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the block ends."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def own_network() -> Iterator[int]:
    """A process in a network of its own, which has a loopback interface and nothing else."""
    with running(["unshare", "--net", sys.executable, "-c", _HOLD], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        with holder.stdout:
            assert holder.stdout.readline() == b"up\n"
            yield holder.pid


def until(seen: Callable[[], bool], what: str, timeout_s: float = 300.0) -> None:
    """Waits until something is so."""
    end = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < end, what
        time.sleep(0.5)


class Deployment:
    """The file's services, started one by one.

    Args:
        folder: for volumes and logs.
        network: a process in whose network everything runs.
        images: by target.
        variables: what docker/.env would hold.
    """

    def __init__(self, folder: Path, network: int, images: Mapping[str, Image], variables: Mapping[str, str]) -> None:
        self.folder, self.network, self._images = folder, network, images
        self.services = read_compose(variables)["services"]
        self._in_network = ["nsenter", f"--net=/proc/{network}/ns/net"]
        self._hosts = folder / "hosts"
        self._hosts.write_text("127.0.0.1 localhost postgres redis service\n")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def container(self, name: str, number: int = 1) -> Container:
        """A service of the file out of our images."""
        service = self.services[name]
        image = self._images[service["image"].split("/")[1].split(":")[0]]
        volumes: dict[str, Path] = {"/etc/hosts:ro": self._hosts}
        for volume in service.get("volumes", []):
            source, path, *mode = volume.split(":")
            bound = source.startswith(".")
            folder = COMPOSE.parent / source if bound else new_volume(self.folder / source, image, path)
            volumes[":".join((path, *mode))] = folder.resolve()
        return Container(
            image, self.folder / f"{name}-{number}.log", volumes, network=self.network, hostname=f"{name}-{number}",
            environment={key: str(value) for key, value in service.get("environment", {}).items()},
            entrypoint=service.get("entrypoint", ()), command=service.get("command", ()),
        )  # fmt: skip

    def start(self, name: str, number: int = 1) -> Container:
        """Starts a service of the file; it is stopped at the end."""
        container = self.container(name, number)
        container.start()
        self._stack.callback(container.stop)
        return container

    def wait_until_healthy(self, name: str, container: Container) -> None:
        """Waits for the file's health check, or the image's own."""
        test = self.services[name].get("healthcheck", {}).get("test", ())

        def healthy() -> bool:
            assert container.process is not None
            assert container.process.poll() is None, container.log.read_text()[-3000:]
            return container.healthy(test)

        until(healthy, f"{name} is not healthy: {container.log.read_text()[-3000:]}")

    def start_redis(self) -> None:
        """Starts Debian's Redis with the file's command."""
        service = self.services["redis"]
        environment = os.environ | service["environment"]
        with_own_tmp = [
            *self._in_network,
            "unshare",
            "--mount",
            "sh",
            "-c",
            'mount -t tmpfs tmpfs /tmp; exec "$@"',
            "-",
        ]
        command = [*with_own_tmp, *service["command"]]
        self._stack.enter_context(running(command, env=environment, stdout=subprocess.DEVNULL, cwd="/"))
        check = [*self._in_network, "sh", "-c", service["healthcheck"]["test"][1]]
        until(lambda: subprocess.run(check, env=environment, check=False).returncode == 0, "Redis does not answer")
        anyone = subprocess.run([*self._in_network, "redis-cli", "ping"], capture_output=True, text=True, check=False)
        assert "NOAUTH" in anyone.stdout

    def start_postgres(self) -> None:
        """Starts Debian's PostgreSQL with the file's user, database and password."""
        environment = self.services["postgres"]["environment"]
        programs, folder = postgres_binaries(), Path(tempfile.mkdtemp(prefix="compose-postgres-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "password").write_text(environment["POSTGRES_PASSWORD"])
        owner = pwd.getpwnam("postgres")
        for path in (folder, folder / "password"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        as_owner = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        data, user = str(folder / "data"), environment["POSTGRES_USER"]
        subprocess.run(
            [*as_owner, programs / "initdb", "-D", data, "-U", user, "--auth=scram-sha-256", "--no-sync",
             f"--pwfile={folder / 'password'}"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        server = [str(programs / "postgres"), "-D", data, "-h", "127.0.0.1", "-k", str(folder)]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        self._stack.enter_context(running([*self._in_network, *as_owner, *server], **quiet))
        program, *arguments = self.services["postgres"]["healthcheck"]["test"][1:]
        check = [*self._in_network, str(programs / program), *arguments]
        until(lambda: subprocess.run(check, check=False).returncode == 0, "PostgreSQL does not answer")
        subprocess.run(
            [*self._in_network, "psql", "-h", "127.0.0.1", "-U", user, "-d", "postgres", "-qc",
             f"CREATE DATABASE {environment['POSTGRES_DB']}"],
            check=True, env=os.environ | {"PGPASSWORD": environment["POSTGRES_PASSWORD"]}, cwd="/",
        )  # fmt: skip
