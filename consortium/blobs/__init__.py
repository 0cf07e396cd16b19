"""Where ciphertexts, shares, aggregates and models are kept: immutable bytes under a key."""

from consortium.blobs.open import check_blobs, open_blobs
from consortium.blobs.port import BlobMissing, BlobStat, BlobStore, BlobsUnavailable, BlobWriter

__all__ = ["BlobMissing", "BlobStat", "BlobStore", "BlobWriter", "BlobsUnavailable", "check_blobs", "open_blobs"]
