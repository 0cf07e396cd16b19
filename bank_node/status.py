"""What the agent is doing, for people and scripts: `status.json` in the home folder, read by `bank-node status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bank_node.durable import Disk
from protocol.states import TrainingState

#: What this bank is doing in a training, beside the protocol's own words.
INVITED, ACCEPTED, REFUSED, MISSED, HALTED = "invited", "accepted", "refused", "missed", "halted"
_ENDED = frozenset(state.value for state in TrainingState if state.ended)
#: So many trainings that are over are still shown.
_SHOWN = 50
#: Progress is written at most this often; anything that a person must see is written at once.
WRITE_EVERY_S = 1.0


class TrainingStatus(BaseModel):
    """One training, as this bank sees it.

    Attributes:
        plan: the plan's name.
        protection: `ckks` or `none`; pages say loudly when it is `none`.
        state: what this bank is doing in it, in the protocol's words or those above.
        rounds: rounds applied.
        unit: what the last round summed (the query's name).
        contributions: contributions sent.
        shares: decryption shares released.
        complaint: why the bank has refused to go on, if it has.
        reason: why the training ended as it did, in the service's words.
        model: digest of the model that the bank derived.
        seconds: what this node has spent its time on: compute (vectors from its rows), encrypt, decrypt (shares),
            apply (next state from an aggregate).
    """

    model_config = ConfigDict(extra="forbid")

    plan: str = ""
    protection: str = ""
    state: str = INVITED
    rounds: int = 0
    unit: str = ""
    contributions: int = 0
    shares: int = 0
    complaint: str | None = None
    reason: str = ""
    model: str | None = None
    seconds: dict[str, float] = {}

    @property
    def is_over(self) -> bool:
        """Whether this bank has nothing more to do in it."""
        return self.state == REFUSED or self.state in _ENDED

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Counts the time of a block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began


class NodeStatus(BaseModel):
    """The whole node.

    Attributes:
        transfer_s: seconds spent on sending and receiving bodies.
        waiting_s: seconds spent on waiting for the service's answers, long polls included.
        unanswered_since_s: since when the service has not answered; None while it does.
        unanswered: why the last attempt failed.
        stopped_by: why it stopped by itself; empty where it was told to, or runs.
        unlisted_banks: names of the banks for whose keys there is nobody's word but the service's.
    """

    model_config = ConfigDict(extra="forbid")

    node: str = ""
    name: str = ""
    url: str = ""
    pid: int = 0
    started_at_s: float = 0.0
    last_contact_at_s: float | None = None
    written_at_s: float = 0.0
    stopped: bool = False
    stopped_by: str = ""
    requests: int = 0
    retries: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    transfer_s: float = 0.0
    waiting_s: float = 0.0
    unanswered_since_s: float | None = None
    unanswered: str = ""
    unlisted_banks: tuple[str, ...] = ()
    trainings: dict[str, TrainingStatus] = {}


class StatusBoard:
    """Keeps the status and writes it.

    Args:
        path: the file.
        disk: how files are changed.
        status: the status at the start.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, disk: Disk, status: NodeStatus, clock: Callable[[], float] = time.time) -> None:
        self.status = status
        self._path = path
        self._disk = disk
        self._clock = clock
        self._written_at_s = 0.0

    def training(self, training: str) -> TrainingStatus:
        """The status of a training; made if it is new, in the place of the oldest that is over if there are many."""
        trainings = self.status.trainings
        if training not in trainings:
            over = [one for one, seen in trainings.items() if seen.is_over]
            for one in over[: max(0, len(over) - _SHOWN + 1)]:
                del trainings[one]
        return trainings.setdefault(training, TrainingStatus())

    def unanswered(self, why: str | None) -> None:
        """Notes that the service has not answered, or with None that it has."""
        if why is None:
            self.status.last_contact_at_s = self._clock()
        if why is None and self.status.unanswered_since_s is None:
            return
        if why is None:
            self.status.unanswered_since_s, self.status.unanswered = None, ""
        else:
            self.status.unanswered_since_s = self.status.unanswered_since_s or self._clock()
            self.status.unanswered = why
        self.write(at_once=True)

    def write(self, *, at_once: bool = False) -> None:
        """Writes the status, if it is due."""
        now = self._clock()
        if at_once or now - self._written_at_s >= WRITE_EVERY_S:
            self._written_at_s = now
            self.status.written_at_s = now
            self._disk.write(self._path, self.status.model_dump_json(indent=1).encode(), flush=False)


def trainings_before(path: Path, node: str) -> dict[str, TrainingStatus]:
    """The trainings that this node's agent wrote down before it was started anew."""
    found = read_status(path)
    return {} if found is None or found.node != node else found.trainings


def read_status(path: Path) -> NodeStatus | None:
    """The last status that an agent wrote; None if there is none, or a newer version has written it."""
    try:
        return NodeStatus.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
