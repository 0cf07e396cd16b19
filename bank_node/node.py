"""Everything that a running node consists of, made once at the start and handed down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bank_node.bank_data import BankData
from bank_node.client import ServiceClient
from bank_node.durable import Disk
from bank_node.home import Home
from bank_node.identity import NodeIdentity
from bank_node.known_banks import KnownBanks
from bank_node.ledger import BankLedger
from bank_node.policy_file import Policy
from bank_node.registry import Registry
from bank_node.status import StatusBoard
from bank_node.usage import DailyUsage

if TYPE_CHECKING:
    from bank_node.vault import Vault


@dataclass(frozen=True)
class Node:
    """The parts of a node.

    Attributes:
        home: its folder.
        disk: how files are changed.
        identity: who it is; holds the signing key.
        vault: what opens and seals its keys.
        policy: the bank's rules.
        client: the service.
        data: the bank's rows, prepared for a plan.
        registry: released models and tables.
        usage: rounds contributed to today.
        ledger: privacy spent.
        banks: who is who.
        board: status for people.
        threads: for encryption.
        keep_silent_days: how long a training's keys outlast the last word of it.
        clock: seconds since the epoch.
    """

    home: Home
    disk: Disk
    identity: NodeIdentity
    vault: Vault
    policy: Policy
    client: ServiceClient
    data: BankData
    registry: Registry
    usage: DailyUsage
    ledger: BankLedger
    banks: KnownBanks
    board: StatusBoard
    threads: int
    keep_silent_days: float
    clock: Callable[[], float]
