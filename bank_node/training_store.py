"""What must survive a restart of one training, one folder a training in the home folder.

- plan.json            the plan that the bank was invited to
- acceptance.json      its signed acceptance
- sealing.sealed       the sealing key made for the training
- attempt-N/           one key ceremony: roster.json, secret.sealed, deal.json, the other sealed keys, receipt.json
- journal              what was answered: at most one contribution and one contributor set a round
- contribution         the outbox: the latest contribution, whose round may not be over
- applied.log          the rounds applied, with their aggregates
- model.json, model.bin  the model that this bank derived
- halted.json          why this bank goes no further; its keys are destroyed
- ended.json           the training is over and its keys are destroyed

`*.sealed` files are sealed by the keystore.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bank_node.applied_log import AppliedLog
from bank_node.durable import Disk
from bank_node.errors import HomeUnusable
from bank_node.outbox import Outbox
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.statements import Base64Text, SignedStatement, WireModel

ModelT = TypeVar("ModelT", bound=BaseModel)


class StoredDeal(WireModel):
    """A deal as it was made: sealing again would give other bytes, which the service may not take any more.

    `sealed` is recipient → the sealed message's bytes, base64.
    """

    deal: SignedStatement
    sealed: dict[str, Base64Text]


class Reason(BaseModel):
    """Why a training was halted, or how it ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    state: str = ""


class AttemptStore:
    """One attempt at the key ceremony.

    Args:
        folder: `attempt-N`.
        disk: how files are changed.
    """

    SECRET, COMMITTEE, ENTITY = "secret.sealed", "committee.sealed", "entity.sealed"

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    def roster(self) -> Roster | None:
        """The pinned roster."""
        return _read(self._folder / "roster.json", Roster)

    def pin_roster(self, roster: Roster) -> None:
        """Pins the roster for this attempt."""
        _write(self._disk, self._folder / "roster.json", roster)

    def deal(self) -> StoredDeal | None:
        """The deal, if it was made."""
        return _read(self._folder / "deal.json", StoredDeal)

    def keep_deal(self, deal: StoredDeal) -> None:
        """Keeps the deal; the secret key must have been kept before."""
        _write(self._disk, self._folder / "deal.json", deal)

    def receipt(self) -> SignedStatement | None:
        """The receipt, if everything was received."""
        return _read(self._folder / "receipt.json", SignedStatement)

    def keep_receipt(self, receipt: SignedStatement) -> None:
        """Keeps the receipt; what was received must have been kept before."""
        _write(self._disk, self._folder / "receipt.json", receipt)

    def sealed(self, name: str) -> bytes | None:
        """A sealed file."""
        path = self._folder / name
        return path.read_bytes() if path.exists() else None

    def keep_sealed(self, name: str, data: bytes) -> None:
        """Keeps a sealed file."""
        self._disk.write(self._folder / name, data)

    def has_keys(self) -> bool:
        """Whether a key lies here with which contributions are made or opened."""
        return any((self._folder / name).exists() for name in (self.SECRET, self.COMMITTEE))

    def destroy_keys(self, *, entity_key: bool = True) -> None:
        """Overwrites and removes the keys.

        Args:
            entity_key: also the shared identifier key, without which an entity table cannot be used.
        """
        for name in (self.SECRET, self.COMMITTEE, *([self.ENTITY] if entity_key else [])):
            self._disk.destroy(self._folder / name)


class TrainingStore:
    """The durable state of one training.

    Args:
        folder: its folder.
        disk: how files are changed.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self.outbox = Outbox(folder / "contribution", disk)
        self.applied = AppliedLog(folder / "applied.log", disk)
        self.journal_path = folder / "journal"

    def plan(self) -> Plan | None:
        """The pinned plan."""
        return _read(self.folder / "plan.json", Plan)

    def acceptance(self) -> SignedStatement | None:
        """The bank's acceptance, if it has accepted."""
        return _read(self.folder / "acceptance.json", SignedStatement)

    def keep_acceptance(self, plan: Plan, sealing_key: bytes, acceptance: SignedStatement) -> None:
        """Keeps plan, sealed sealing key and acceptance; the acceptance comes last, so that it implies the others."""
        _write(self._disk, self.folder / "plan.json", plan)
        self._disk.write(self.folder / "sealing.sealed", sealing_key)
        _write(self._disk, self.folder / "acceptance.json", acceptance)

    def sealing_key(self) -> bytes | None:
        """The sealed sealing key."""
        path = self.folder / "sealing.sealed"
        return path.read_bytes() if path.exists() else None

    def attempt(self, number: int) -> AttemptStore:
        """One key ceremony."""
        return AttemptStore(self.folder / f"attempt-{number}", self._disk)

    def latest_attempt(self) -> int | None:
        """The number of the latest key ceremony whose roster was pinned."""
        numbers = [int(path.parent.name.removeprefix("attempt-")) for path in self.folder.glob("attempt-*/roster.json")]
        return max(numbers, default=None)

    def halted(self) -> str | None:
        """Why this bank goes no further, if it does not."""
        stored = _read(self.folder / "halted.json", Reason)
        return None if stored is None else stored.reason

    def halt(self, reason: str) -> None:
        """Remembers that this bank goes no further."""
        _write(self._disk, self.folder / "halted.json", Reason(reason=reason))

    def destroy_keys(self) -> None:
        """Destroys every key, but not the one of an entity table that was derived and may yet be released."""
        derived = self.model() is not None
        for path in sorted(self.folder.glob("attempt-*")):
            AttemptStore(path, self._disk).destroy_keys(entity_key=not derived)
        self._disk.destroy(self.folder / "sealing.sealed")

    def has_keys(self) -> bool:
        """Whether any key of the training's own lies here."""
        attempts = (AttemptStore(path, self._disk) for path in self.folder.glob("attempt-*"))
        return self.sealing_key() is not None or any(attempt.has_keys() for attempt in attempts)

    def changed_at_s(self) -> float:
        """When anything was last answered or learned in this training, seconds since the epoch."""
        return max((path.stat().st_mtime for path in self.folder.rglob("*") if path.is_file()), default=0.0)

    def keep_model(self, digest: str, model: bytes) -> None:
        """Keeps the model that was derived, until the training's end says whether it is released."""
        self._disk.write(self.folder / "model.bin", model)
        self._disk.write(self.folder / "model.json", json.dumps({"digest": digest}).encode())

    def model(self) -> tuple[str, bytes] | None:
        """Digest and bytes of the derived model."""
        path = self.folder / "model.json"
        if not path.exists():
            return None
        return str(json.loads(path.read_text(encoding="utf-8"))["digest"]), (self.folder / "model.bin").read_bytes()

    def ended(self) -> Reason | None:
        """How the training ended, once its keys are destroyed."""
        return _read(self.folder / "ended.json", Reason)

    def end(self, state: str, reason: str) -> None:
        """Destroys the keys, drops what nobody needs any more, and remembers that the training is over."""
        for path in sorted(self.folder.glob("attempt-*")):
            AttemptStore(path, self._disk).destroy_keys()
        self._disk.destroy(self.folder / "sealing.sealed")
        self.outbox.clear()
        _write(self._disk, self.folder / "ended.json", Reason(reason=reason, state=state))


def _read(path: Path, model: type[ModelT]) -> ModelT | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise HomeUnusable(path, f"not a stored {model.__name__}", "restore the home folder from a backup") from error


def _write(disk: Disk, path: Path, model: BaseModel) -> None:
    disk.write(path, model.model_dump_json(indent=1).encode())
