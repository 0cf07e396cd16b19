"""A training's rows stay the same from acceptance to end, also where the bank writes its export anew every night.

What is kept is the file's identity, not its rows: size, time of change and SHA-256, in the training's folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bank_node.durable import Disk
from bank_node.errors import DataChanged, DataUnfit, HomeUnusable
from bank_node.settings import DatasetSettings
from protocol.ids import DigestHex


class DataPin(BaseModel):
    """Which rows a training was accepted with.

    Attributes:
        size: of the file, in bytes.
        mtime_ns: when it was last changed.
        sha256: of its content.
        rename: the bank's names of its columns → the plan's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    mtime_ns: int
    sha256: DigestHex
    rename: dict[str, str]

    @classmethod
    def of(cls, path: Path, settings: DatasetSettings) -> DataPin:
        """The identity of a dataset's file as it is now."""
        stat = path.stat()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest, rename=settings.rename)

    def is_untouched(self, path: Path) -> bool:
        """Whether nobody has written to the file since."""
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)


class DataPins:
    """The pins of all trainings.

    Args:
        trainings: the folder with one folder a training.
        disk: how files are changed.
    """

    def __init__(self, trainings: Path, disk: Disk) -> None:
        self._trainings, self._disk = trainings, disk

    def keep(self, training: str, pin: DataPin) -> None:
        """Keeps a training's pin, durably."""
        self._disk.write(self._path(training), pin.model_dump_json(indent=1).encode())

    def of(self, training: str) -> DataPin | None:
        """A training's pin; None for one that has none yet."""
        try:
            return DataPin.model_validate_json(self._path(training).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise HomeUnusable(
                self._path(training), "not a record of a training's data", "restore the home folder from a backup"
            ) from error

    def require(self, training: str, dataset: str, path: Path, settings: DatasetSettings) -> DataPin:
        """The pin under which a training's rows may be read: the one that is kept, or the first.

        Raises:
            DataChanged: the file is another than the training was accepted with.
        """
        pinned = self.of(training)
        if pinned is not None and pinned.is_untouched(path) and pinned.rename == settings.rename:
            return pinned
        found = DataPin.of(path, settings)
        if pinned is not None and (found.sha256, found.rename) != (pinned.sha256, pinned.rename):
            raise DataChanged(
                f"dataset {dataset!r} of training {training}",
                expected=f"the rows with which this bank has accepted it (SHA-256 {pinned.sha256[:16]}…)",
                got=f"other ones: the file or its settings were changed since (SHA-256 {found.sha256[:16]}…)",
                only_here=f"the file is {path}",
            )
        if found != pinned:
            self.keep(training, found)
        return found

    def _path(self, training: str) -> Path:
        return self._trainings / training / "data.json"


def require_untouched(pin: DataPin, dataset: str, path: Path) -> None:
    """Checks after reading that all of what was read is of the file that is pinned.

    Raises:
        DataUnfit: somebody wrote to it meanwhile.
    """
    if not pin.is_untouched(path):
        raise DataUnfit(
            f"dataset {dataset!r}", column=None, expected="a file at rest while it is read", got="a change meanwhile",
            advice="let the export write to another name, and rename the file when it is whole",
            only_here=f"the file is {path}",
        )  # fmt: skip
