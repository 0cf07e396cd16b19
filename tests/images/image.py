"""The images as `docker/build-images.sh` makes them, mounted: what is in them, and how they are started."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Image:
    """A mounted image.

    Attributes:
        root: its root folder, mounted.
        config: user, environment, entrypoint, command, volumes and health check, as the image says them.
    """

    root: Path
    config: dict[str, Any]

    @property
    def user(self) -> tuple[int, int]:
        """Who runs in it; an image that names no numbers runs as root."""
        user, _, group = self.config["User"].partition(":")
        return int(user), int(group)

    @property
    def packages(self) -> Path:
        """Where its Python packages are."""
        return next(self.root.glob("opt/consortium/lib/python3*/site-packages"))


@cache
def image_of(target: str) -> str:
    """The image to test: the one that NODE_IMAGE (SERVICE_IMAGE, WORKER_IMAGE) names, or one that is built now."""
    named = os.environ.get(f"{target.upper()}_IMAGE")
    if named:
        return named
    subprocess.run(
        [REPOSITORY / "docker/build-images.sh", target],
        env=os.environ | {"BUILDER": "buildah", "IMAGE_PREFIX": "fraud-consortium", "IMAGE_TAG": "test"}, check=True,
    )  # fmt: skip
    return f"localhost/fraud-consortium/{target}:test"


@contextmanager
def mounted(name: str) -> Iterator[Image]:
    """Mounts a container of an image."""
    container = _buildah("from", "--pull-never", name)
    try:
        config = json.loads(_buildah("inspect", "--type", "image", name))["Docker"]["config"]
        yield Image(Path(_buildah("mount", container)), config)
    finally:
        _buildah("rm", container)


def _buildah(*arguments: str) -> str:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"buildah {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip()
