"""Which of the released models are in force, as the operator has decided and the service tells with every work.

The service can only choose among models that this bank has derived and confirmed itself; `--model` overrules it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from bank_node.durable import Disk
from bank_node.errors import HomeUnusable, ModelUnfit
from bank_node.registry import ModelEntry
from protocol.ids import DigestHex, Name

log = structlog.get_logger("bank_node.in_force")
FILE = "in-force.json"
_DIGESTS: TypeAdapter[dict[str, str | None]] = TypeAdapter(dict[Name, DigestHex | None])


class InForce:
    """Name → digest of the model in force, kept beside the models; None for a name that the operator has withdrawn.

    Args:
        folder: `models` in the home folder.
        disk: how files are changed.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._path = folder / FILE
        self._disk = disk
        self._told: dict[str, str | None] | None = None

    def digests(self) -> dict[str, str | None]:
        """What was told last; empty if nothing ever was.

        Raises:
            HomeUnusable: the file is damaged.
        """
        if self._told is None:
            try:
                self._told = _DIGESTS.validate_json(self._path.read_bytes()) if self._path.exists() else {}
            except ValidationError as error:
                advice = "remove it; the service tells it again"
                raise HomeUnusable(self._path, "not a table of models in force", advice) from error
        return self._told

    def note(self, told: Mapping[str, str | None] | None) -> None:
        """Keeps what the service tells, if it is anything new; None if it has told nothing."""
        if told is None:
            return
        try:
            if dict(told) == self.digests():
                return
        except HomeUnusable as error:  # a damaged file is written anew
            log.warning("models:in-force:damaged", why=str(error))
        self._disk.write(self._path, json.dumps(dict(told), indent=1, sort_keys=True).encode())
        log.info("models:in-force", digests=dict(told))
        self._told = dict(told)


def is_withdrawn(name: str, in_force: Mapping[str, str | None]) -> bool:
    """Whether the operator has left no model in force under a name that may have had one."""
    return name in in_force and in_force[name] is None


def preferred(scoring: Sequence[ModelEntry], in_force: Mapping[str, str | None]) -> tuple[ModelEntry, str]:
    """The model to score with when none is named, and why it is this one.

    Args:
        scoring: models of this node that score, the newest last; at least one.
        in_force: name → digest.

    Raises:
        ModelUnfit: all of them are withdrawn.
    """
    every, scoring = scoring, [entry for entry in scoring if not is_withdrawn(entry.name, in_force)]
    if not scoring:
        raise _withdrawn(", ".join(sorted({entry.name for entry in every})))
    held = [entry for entry in scoring if in_force.get(entry.name) == entry.digest]
    if held:
        return held[-1], f"in force as {held[-1].name}"
    newest = scoring[-1]
    if (digest := in_force.get(newest.name)) is not None:
        why = f"model {digest[:16]} is in force as {newest.name}, but is not on this node"
        return newest, f"the newest on this node; {why}"
    return newest, f"the newest on this node; none is in force as {newest.name}"


def named(name_or_digest: str, entries: Sequence[ModelEntry], in_force: Mapping[str, str | None]) -> str:
    """The digest of the model in force under a name, if this node holds it; else what was given.

    Raises:
        ModelUnfit: the name is withdrawn. A digest overrules that: somebody means this one model.
    """
    digest = in_force.get(name_or_digest, name_or_digest)
    if digest is None:
        raise _withdrawn(name_or_digest)
    return digest if any(entry.digest == digest for entry in entries) else name_or_digest


def _withdrawn(names: str) -> ModelUnfit:
    return ModelUnfit(
        f"model {names}", expected="one in force", got="none: the operator has withdrawn it",
        advice="it scores again once one is promoted; until then only a model that --model names by its digest",
    )  # fmt: skip
