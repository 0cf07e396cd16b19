"""Opens an enrolled node: everything that its agent works with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bank_node.bank_data import BankData
from bank_node.client import ServiceClient
from bank_node.data_pin import DataPins
from bank_node.durable import Disk
from bank_node.home import Home
from bank_node.identity import read_identity
from bank_node.known_banks import KnownBanks
from bank_node.ledger import BankLedger
from bank_node.node import Node
from bank_node.policy_file import load_policy
from bank_node.registry import Registry
from bank_node.settings import NodeSettings, load_settings
from bank_node.status import NodeStatus, StatusBoard, trainings_before
from bank_node.transport import HTTPTransport
from bank_node.usage import DailyUsage
from bank_node.vault import Vault


@contextmanager
def open_node(
    home: Home, *, stop: threading.Event | None = None, give_up_after_s: float | None = None, disk: Disk | None = None,
    settings: NodeSettings | None = None,
) -> Iterator[Node]:  # fmt: skip
    """Opens the node of a home folder.

    Args:
        home: where it lies.
        stop: ends every wait when it is set.
        give_up_after_s: seconds of failures after which a request fails; None never gives up.
        disk: how files are changed; a test's crashes.
        settings: instead of the home folder's.

    Raises:
        NodeError: not enrolled, locked, or wrongly set.
    """
    disk = disk or Disk()
    home.require_enrolled()
    settings = settings or load_settings(home)
    policy = load_policy(home)
    vault = Vault.open(home, settings)
    identity = read_identity(home, vault)
    home.trainings.mkdir(mode=0o700, exist_ok=True)
    banks = KnownBanks(home.banks, disk, policy.settings.banks)
    registry = Registry(home.models, disk)
    transport = HTTPTransport(
        settings.url, long_poll_s=settings.long_poll_s, connect_timeout_s=settings.connect_timeout_s,
        ca_file=settings.ca_file, certificate=settings.client_certificate,
    )  # fmt: skip
    status = NodeStatus(
        node=identity.node, name=identity.name, url=settings.url, pid=os.getpid(), started_at_s=time.time(),
        unlisted_banks=banks.unlisted(), trainings=trainings_before(home.status, identity.node),
    )  # fmt: skip
    board = StatusBoard(home.status, disk, status)
    with transport:
        yield Node(
            home=home,
            disk=disk,
            identity=identity,
            vault=vault,
            policy=policy,
            client=ServiceClient(
                transport,
                node=identity.node,
                key=identity.signing_key,
                stop=stop,
                give_up_after_s=give_up_after_s,
                max_reply_bytes=settings.max_reply_bytes,
                unanswered=board.unanswered,
            ),
            data=BankData(home.folder, settings.datasets, registry, vault.unseal, DataPins(home.trainings, disk)),
            registry=registry,
            usage=DailyUsage(home.usage, disk, time.time),
            ledger=BankLedger(home.ledger, disk, policy.settings, registry),
            banks=banks,
            board=board,
            threads=settings.threads,
            keep_silent_days=settings.keep_silent_days,
            clock=time.time,
        )
