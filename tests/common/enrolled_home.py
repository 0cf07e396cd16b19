"""A home folder as enrolment leaves it, without a service; models in it are trained in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bank_node.durable import Disk
from bank_node.home import Home
from bank_node.identity import NodeIdentity, keep_identity, keep_pending_key
from bank_node.opening import open_node
from bank_node.registry import ModelEntry
from bank_node.settings import NodeSettings, settings_toml
from bank_node.vault import Vault
from learning.algorithms import build, settings_of
from learning.driver import run
from protocol.ids import NodeId, sha256_hex
from protocol.plan import Plan

NODE_ID = "01930000-0000-7000-8000-00000000000a"
URL = "http://127.0.0.1:9"


def enrolled_home(folder: Path, data: Path | None = None, *, more: str = "") -> Home:
    """A home folder with keys, identity and settings.

    Args:
        folder: where.
        data: the dataset `transactions`.
        more: at the end of node.toml.
    """
    home, disk = Home(folder), Disk()
    home.create()
    vault = Vault.open(home, NodeSettings(url=URL, name="bank-a"), create=True)
    key = keep_pending_key(home, disk, vault)
    home.settings.write_text(settings_toml(URL, "bank-a", data) + more)
    keep_identity(home, disk, NodeIdentity(NodeId(NODE_ID), "bank-a", "consortium", key))
    return home


def training_id(number: int) -> str:
    """The id of a training."""
    return f"01930000-0000-7000-8000-{number:012d}"


def no_entity_key() -> bytes | None:
    """For plans that count no entities, whose training asks for none."""
    raise AssertionError("an entity key was asked for")


def train_alone(home: Home, plan: Plan, number: int = 1) -> ModelEntry:
    """Trains on this bank's own rows, and registers what comes of it as a released model."""
    with open_node(home) as node:
        data = node.data.prepared(training_id(number), plan, lambda: bytes(32))
        result: Any = run(build(settings_of(plan.learning)), [data])
        content = result.to_bytes()
        entry = ModelEntry(
            digest=result.digest().hex(), sha256=sha256_hex(content), training=training_id(number), plan=plan, rounds=1,
            released_at_s=float(number),
        )  # fmt: skip
        table = plan.learning["kind"] == "entity_tables"
        node.registry.add(entry, content, node.vault.seal(bytes(32)) if table else None)
    return entry
