"""What the service asks of a blob store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from consortium.errors import ConsortiumError


class BlobMissing(ConsortiumError):
    """There are no bytes under this key (any more)."""

    def __init__(self, key: str) -> None:
        super().__init__(f"blob {key}: expected stored bytes, got none; they were deleted or never written")
        self.key = key


class BlobsUnavailable(ConsortiumError):
    """The store does not do what was asked: no space, no permission, no answer. Later it may."""

    def __init__(self, got: str) -> None:
        super().__init__(f"blob store: expected one that takes and gives bytes, got {got}")


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What is known of a blob without reading it: its size, and when it was last written (seconds since the epoch)."""

    size_bytes: int
    written_at: float


class BlobWriter(Protocol):
    """Bytes on their way into the store; nothing is seen under the key before `commit`.

    Where they cannot be stored, every method raises `BlobsUnavailable`, and they are seen whole or not at all.
    """

    def write(self, data: bytes) -> None:
        """Appends."""

    def commit(self, key: str) -> None:
        """Puts what was written under a key, whole; replaces what was there."""

    def abort(self) -> None:
        """Forgets what was written; may be called after `commit`, then it does nothing."""


@runtime_checkable
class BlobStore(Protocol):
    """Immutable bytes by key; keys are relative paths of safe characters.

    Every method raises `BlobsUnavailable` where the store fails.
    """

    def writer(self) -> BlobWriter:
        """A new blob, written piece by piece."""

    def put(self, key: str, data: bytes) -> None:
        """Stores bytes at once."""

    def get(self, key: str) -> bytes:
        """A blob.

        Raises:
            BlobMissing: there is none.
        """

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        """A part of a blob.

        Raises:
            BlobMissing: there is none.
        """

    def delete(self, key: str) -> None:
        """Deletes a blob, if it is there."""

    def stat(self, key: str) -> BlobStat | None:
        """Size and time of a blob; None if there is none."""

    def require_room(self, size_bytes: int) -> None:
        """Whether so many bytes more can be stored, as far as that can be told without storing them.

        Raises:
            BlobsUnavailable: they cannot.
        """

    def drop_unfinished(self, *, before: float) -> int:
        """Deletes uploads that were begun before this time and never committed; how many."""
