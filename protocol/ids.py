"""Typed identifiers: a training's id can not be passed where a node's is wanted."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Annotated, NewType
from uuid import UUID

from pydantic import StringConstraints

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

TrainingId = NewType("TrainingId", str)
NodeId = NewType("NodeId", str)
PlanId = NewType("PlanId", str)
ModelId = NewType("ModelId", str)

#: For pydantic fields: lower-case canonical UUIDs, SHA-256 digests in hex, and names that are safe in paths and logs.
UUIDText = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
DigestHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
#: Text for people, without the one character that PostgreSQL does not store.
Sentence = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=500)]


@lru_cache(maxsize=4096)
def uuid_bytes(identifier: str) -> bytes:
    """The 16 raw bytes of a UUID, as the binary formats carry it."""
    return UUID(identifier).bytes


def sha256_hex(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 in lower-case hex, 64 characters."""
    return hashlib.sha256(data).hexdigest()
