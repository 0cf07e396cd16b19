"""Where a body lies: few bytes in their row, many in the blob store."""

from __future__ import annotations

from dataclasses import dataclass

from consortium.blobs.port import BlobMissing, BlobStore


@dataclass(frozen=True, slots=True)
class StoredBody:
    """Where a body lies.

    Attributes:
        inline: its bytes, if they lie in the database.
        blob: its key in the blob store otherwise.
    """

    inline: bytes | None
    blob: str | None

    def read(self, blobs: BlobStore, offset: int = 0, size: int | None = None) -> bytes:
        """Its bytes, or a range of them.

        Raises:
            BlobMissing: they were deleted.
        """
        if self.inline is not None:
            return self.inline[offset : None if size is None else offset + size]
        if self.blob is None:
            raise BlobMissing("of a body whose retention is over")
        return blobs.get(self.blob) if size is None else blobs.get_range(self.blob, offset, size)
