"""What opens and seals the node's keys: the key store, and everything made from what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bank_node.errors import KeystoreLocked
from bank_node.home import Home
from bank_node.settings import NodeSettings
from crypto.answer_record import AnswerRecord
from crypto.errors import UnsealFailed, ValueOutOfBounds
from crypto.keystore import Keystore
from crypto.sealing import SealingKey

if TYPE_CHECKING:
    from bank_node.protection import CeremonyKeys
    from protocol.ids import NodeId
    from protocol.plan import Plan
    from protocol.roster import Roster

_STORE = "keystore"
_SEALING, _TRAINING = "sealing-key", "training"


@dataclass(frozen=True, slots=True)
class NewSealingKey:
    """A sealing key made for one training: its public half, and itself sealed."""

    public_bytes: bytes
    sealed: bytes = field(repr=False)


class Vault:
    """The node's key store.

    Args:
        keystore: opened.
    """

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    @classmethod
    def open(cls, home: Home, settings: NodeSettings, *, create: bool = False) -> Vault:
        """Opens the home folder's key store by passphrase or key file.

        Args:
            home: the node's folder.
            settings: which of the two.
            create: make the store, and a key file unless a passphrase is given, if there is none.

        Raises:
            KeystoreLocked: it does not open, or is not there.
        """
        path = home.folder / _STORE
        passphrase = None if settings.passphrase is None else settings.passphrase.get_secret_value()
        key_file = None if passphrase is not None else home.key_file
        if key_file is not None and settings.key_file is not None:
            key_file = home.folder / settings.key_file  # what is absolute stays as it is
        try:
            if create and not path.exists():
                return cls(Keystore.create(path, passphrase=passphrase, key_file=key_file))
            return cls(Keystore.open(path, passphrase=passphrase, key_file=key_file))
        except (UnsealFailed, ValueOutOfBounds, OSError) as error:
            why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise KeystoreLocked(
                f"{path}: {why}; set BANK_NODE_PASSPHRASE or key_file to what the node was enrolled with"
            ) from error

    def __repr__(self) -> str:
        return "Vault(…)"

    def seal(self, plaintext: bytes, *, purpose: str = _TRAINING) -> bytes:
        """Seals for this node."""
        return self._keystore.seal(plaintext, purpose=purpose)

    def unseal(self, sealed: bytes, *, purpose: str = _TRAINING) -> bytes:
        """Opens what `seal` made.

        Raises:
            KeystoreLocked: it was sealed by another store, or altered.
        """
        try:
            return self._keystore.unseal(sealed, purpose=purpose)
        except UnsealFailed as error:
            raise KeystoreLocked(str(error)) from error

    def new_sealing_key(self) -> NewSealingKey:
        """A sealing key for one training."""
        key = SealingKey.generate()
        return NewSealingKey(key.public_bytes, self.seal(key.to_secret_bytes(), purpose=_SEALING))

    def sealing_key(self, sealed: bytes) -> SealingKey:
        """Opens a training's sealing key."""
        return SealingKey.from_secret_bytes(self.unseal(sealed, purpose=_SEALING))

    def ceremony_keys(self, plan: Plan, roster: Roster, node: NodeId, sealing: bytes) -> CeremonyKeys:
        """What deals and receives in a key ceremony, by the plan's protection."""
        from bank_node.protection import ceremony_keys  # noqa: PLC0415  # ceremonies alone need TenSEAL

        return ceremony_keys(self, plan, roster, node, self.sealing_key(sealing))

    @staticmethod
    def has_answered(journal: Path) -> bool:
        """Whether a training's record of answers has anything in it."""
        if not journal.exists():
            return False
        with AnswerRecord(journal) as record:
            return record.has_answers
