"""Where ciphertexts, shares, aggregates and models are kept: immutable bytes under a key."""

from consortium.blobs.open import open_blobs
from consortium.blobs.port import BlobMissing, BlobStat, BlobStore, BlobWriter

__all__ = ["BlobMissing", "BlobStat", "BlobStore", "BlobWriter", "open_blobs"]
