"""What trainings have left with this bank: released models and entity tables, by digest, and which model is current.

A model's bytes are exactly those whose digest the banks have confirmed; they are checked again whenever they are read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bank_node.durable import Disk
from bank_node.errors import HomeUnusable, ModelUnfit
from protocol.ids import DigestHex, Name, UUIDText
from protocol.plan import Plan

CURRENT = "current.json"
#: Characters of a digest that name a model; with fewer a typing error might name one.
LEAST_PREFIX = 6


class ModelEntry(BaseModel):
    """A released model or table.

    Attributes:
        digest: the model's digest, as the banks have confirmed it.
        sha256: SHA-256 of the stored bytes, hex.
        training: where it comes from.
        plan: the plan of that training: its features are needed for scoring.
        rounds: rounds that it took.
        released_at_s: seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: DigestHex
    sha256: DigestHex
    training: UUIDText
    plan: Plan
    rounds: int
    released_at_s: float

    @property
    def name(self) -> Name:
        """A model is called as its plan."""
        return self.plan.name

    @property
    def kind(self) -> str:
        """The kind of learning that it comes of."""
        return str(self.plan.learning.get("kind"))


class Registry:
    """The models of this bank.

    Args:
        folder: `models` in the home folder.
        disk: how files are changed.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    def add(self, entry: ModelEntry, model: bytes, entity_key: bytes | None = None) -> None:
        """Stores a released model and makes it the current one of its name. The same model again changes nothing.

        Args:
            entry: what it is.
            model: its bytes.
            entity_key: for an entity table: the banks' hash key, sealed by the keystore.
        """
        folder = self._folder / entry.digest
        if entity_key is not None:
            self._disk.write(folder / "entity-key.sealed", entity_key)
        self._disk.write(folder / "model.bin", model)
        # The entry comes last: a folder without one is what a crash left, and is written again.
        self._disk.write(folder / "entry.json", entry.model_dump_json(indent=1).encode())
        if self.current().get(entry.name) != entry.digest:
            self._disk.write(self._folder / CURRENT, json.dumps({**self.current(), entry.name: entry.digest}).encode())

    def entries(self) -> list[ModelEntry]:
        """Every model, the newest last."""
        if not self._folder.is_dir():
            return []
        found = [self._entry(path) for path in self._folder.glob("*/entry.json")]
        return sorted(found, key=lambda entry: entry.released_at_s)

    def current(self) -> dict[str, str]:
        """Name → digest of the model in use.

        Raises:
            HomeUnusable: the file is damaged.
        """
        path = self._folder / CURRENT
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except (ValueError, TypeError) as error:
            raise HomeUnusable(path, "not a table of models", "remove it, and name models by digest") from error

    def find(self, name_or_digest: str) -> ModelEntry:
        """The current model of a name, or the one whose digest is this or begins so.

        Raises:
            ModelUnfit: there is none, or more than one.
        """
        entries = self.entries()
        digest = self.current().get(name_or_digest, name_or_digest)
        matching = [entry for entry in entries if entry.digest.startswith(digest) and len(digest) >= LEAST_PREFIX]
        if len(matching) != 1:
            names = ", ".join(sorted({entry.name for entry in entries})) or "none"
            raise ModelUnfit(
                f"model {name_or_digest!r}",
                expected=f"a model's name ({names}), or at least {LEAST_PREFIX} characters of one digest",
                got=f"{len(matching)} digests that begin so" if matching else "neither",
                advice="see `bank-node models`",
            )  # fmt: skip
        return matching[0]

    def of_training(self, training: str) -> ModelEntry | None:
        """What this training has left."""
        return next((entry for entry in self.entries() if entry.training == training), None)

    def model_bytes(self, entry: ModelEntry) -> bytes:
        """The model's bytes.

        Raises:
            HomeUnusable: they are not those that were stored.
        """
        path = self._folder / entry.digest / "model.bin"
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise HomeUnusable(path, "the model's bytes have changed", "fetch the model again from the service")
        return data

    def entity_key(self, entry: ModelEntry) -> bytes | None:
        """The sealed key of an entity table; None for other models."""
        path = self._folder / entry.digest / "entity-key.sealed"
        return path.read_bytes() if path.exists() else None

    def _entry(self, path: Path) -> ModelEntry:
        try:
            return ModelEntry.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise HomeUnusable(path, "not a model's entry", "remove its folder and fetch the model again") from error
