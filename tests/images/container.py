"""A container without an engine: the image's own command in namespaces and a changed root, as the image's own user.

As an engine would with `read_only`, `cap_drop: [ALL]` and `no-new-privileges`: the root file system can not be written
to, only volumes and /tmp can.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.common.servers import Server
from tests.images.image import Image

#: $1 root, $2 host name, then pairs of a host's path and a path below the root, "--", and the command.
_ENTER = """
set -eu
root="$1"; hostname "$2"; shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"; mount --rbind /proc "$root/proc"; mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root${2%:ro}"
  case "$2" in *:ro) mount -o remount,bind,ro "$root${2%:ro}" ;; esac
  shift 2
done
shift
mount -o remount,bind,ro "$root"
exec "$@"
"""


class Container(Server):
    """One container.

    Args:
        image: what runs.
        log: where its output goes.
        volumes: path in the container (with ":ro" where it is only read) → folder or file of this machine.
        environment: more than the image's own.
        entrypoint: another than the image's.
        command: another than the image's.
        hostname: its name.
        network: a process in whose network it runs; this machine's otherwise.
    """

    def __init__(
        self,
        image: Image,
        log: Path,
        volumes: Mapping[str, Path],
        *,
        environment: Mapping[str, str] | None = None,
        entrypoint: Sequence[str] = (),
        command: Sequence[str] = (),
        hostname: str = "container",
        network: int | None = None,
    ) -> None:
        self.image, self.log, self.network, self.hostname = image, log, network, hostname
        self.environment = dict(entry.split("=", 1) for entry in image.config["Env"]) | dict(environment or {})
        self._entrypoint = list(entrypoint or image.config["Entrypoint"])
        self._command = list(command or image.config["Cmd"])
        # What an engine does with a volume that nobody names: a fresh one.
        anonymous = Path(tempfile.mkdtemp(prefix="volumes-", dir=log.parent))
        given = {path.removesuffix(":ro") for path in volumes}
        self.volumes = dict(volumes)
        for number, path in enumerate(sorted(set(image.config["Volumes"] or {}) - given)):
            self.volumes[path] = new_volume(anonymous / str(number), image, path)
        for path, source in self.volumes.items():
            _make_mount_point(image.root / path.removesuffix(":ro").lstrip("/"), source)

    def argv(self, command: Sequence[str]) -> list[str]:
        """How a command is run in it."""
        user, group = self.image.user
        binds = [text for path, source in self.volumes.items() for text in (str(source), path)]
        in_network = [] if self.network is None else ["/usr/bin/nsenter", f"--net=/proc/{self.network}/ns/net"]
        return [
            *in_network, "/usr/bin/unshare", "--mount", "--uts", "/bin/sh", "-c", _ENTER, "enter", str(self.image.root),
            self.hostname, *binds, "--", "/usr/sbin/chroot", str(self.image.root), "/usr/bin/setpriv", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all", f"--reuid={user}", f"--regid={group}", "--clear-groups",
            "/usr/bin/env", f"--chdir={self.image.config['WorkingDir']}", *command,
        ]  # fmt: skip

    def start(self) -> None:
        """Starts the entrypoint with the command."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv([*self._entrypoint, *self._command]), env=self.environment, stdout=log, stderr=log
            )

    def run(self, *arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Runs the entrypoint with other arguments, as `docker run IMAGE ARGUMENTS` does."""
        return self.execute(*self._entrypoint, *arguments, timeout_s=timeout_s)

    def execute(self, *command: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs any command in it, as `docker exec` does."""
        return subprocess.run(
            self.argv(command), env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def healthy(self, test: Sequence[str] = ()) -> bool:
        """Runs the health check: this one, or the image's own."""
        kind, *command = test or self.image.config["Healthcheck"]["Test"]
        if kind == "CMD-SHELL":
            command = ["sh", "-c", *command]
        return self.execute(*command).returncode == 0


def new_volume(folder: Path, image: Image, path: str) -> Path:
    """An empty volume, with the owner and the mode of the image's folder at that path, as engines make named ones."""
    if not folder.exists():
        folder.mkdir()
        there = image.root / path.lstrip("/")
        if there.is_dir():
            os.chown(folder, there.stat().st_uid, there.stat().st_gid)
            folder.chmod(there.stat().st_mode & 0o7777)
    return folder


def _make_mount_point(point: Path, source: Path) -> None:
    if not point.exists():
        point.parent.mkdir(parents=True, exist_ok=True)
        point.mkdir() if source.is_dir() else point.touch()
