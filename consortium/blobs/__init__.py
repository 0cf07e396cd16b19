"""Where ciphertexts, shares, aggregates and models are kept: immutable bytes under a key."""

from consortium.blobs.open import check_blobs, open_blobs
from consortium.blobs.port import BlobMissing, BlobStat, BlobStore, BlobWriter

__all__ = ["BlobMissing", "BlobStat", "BlobStore", "BlobWriter", "check_blobs", "open_blobs"]
