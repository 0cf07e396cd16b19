"""The node's home folder: where everything that must survive a restart lies.

node.toml         settings, written by `enrol`, edited by people
policy.toml       the bank's policy
identity.json     node id, consortium, name, public keys
identity.sealed   the node's signing key, sealed
keystore          salt and cost of the key store (`vault`)
keystore.key      the key file, unless a passphrase is used or the file lies elsewhere
status.json       what the agent did last, for `bank-node status`
in-force.json     which models the operator has put in force (`in_force`)
usage.json        rounds answered today
ledger.json       privacy spent
banks.json        the banks that this one has met, with their keys (`known_banks`)
trainings/<id>/   one folder a training (`training_store`)
models/<digest>/  released models and entity tables (`registry`)
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from bank_node.durable import sweep_temporaries
from bank_node.errors import AlreadyRunning, HomeUnusable

ENROL_FIRST = "run `bank-node enrol` first, or name another folder with --home or BANK_NODE_HOME"


class Home:
    """Paths in a home folder.

    Args:
        folder: the folder, from the working directory if it is relative; made readable by its owner alone when it is
            created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder = folder.absolute()
        self.settings = folder / "node.toml"
        self.policy = folder / "policy.toml"
        self.identity = folder / "identity.json"
        self.identity_sealed = folder / "identity.sealed"
        self.key_file = folder / "keystore.key"
        self.status = folder / "status.json"
        self.usage = folder / "usage.json"
        self.ledger = folder / "ledger.json"
        self.banks = folder / "banks.json"
        self.trainings = folder / "trainings"
        self.models = folder / "models"
        self.lock = folder / "agent.lock"

    def create(self) -> None:
        """Makes the folder.

        Raises:
            HomeUnusable: it can not be made or written to.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(self.folder, f"cannot be made ({error.strerror})", "name another with --home") from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise HomeUnusable(self.folder, "is not writable", "name another with --home, or change its owner")

    def require_enrolled(self) -> None:
        """Checks that a node was enrolled here.

        Raises:
            HomeUnusable: there is none.
        """
        if not self.identity.exists() or not self.identity_sealed.exists():
            raise HomeUnusable(self.folder, "no node is enrolled here", ENROL_FIRST)


class AgentLock:
    """Held while an agent works in a home folder: two agents would race for the same journal.

    An flock: the kernel releases it however the process dies, so there is no stale lock to clean up.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            self._descriptor = None
            raise AlreadyRunning(
                self._home.folder, "another agent works in this folder", "stop it first, or use another --home"
            ) from error
        return self

    def sweep(self) -> None:
        """Removes what a crash left half-written. Without the lock, what another process is just writing would go."""
        if self._descriptor is None:
            raise HomeUnusable(self._home.folder, "not locked", "take the lock first")
        sweep_temporaries(self._home.folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
