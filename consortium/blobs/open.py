"""A blob store from its URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from consortium.blobs.folder import FolderBlobs
from consortium.blobs.port import BlobStore
from consortium.blobs.s3 import S3Blobs
from consortium.errors import ConsortiumError


class BlobUrlInvalid(ConsortiumError):
    """A blob store's URL that names none."""


def open_blobs(url: str) -> BlobStore:
    """Opens ``file:///folder`` or ``s3://bucket/prefix?endpoint_url=…``.

    Raises:
        BlobUrlInvalid: another scheme, or no bucket.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        prefix = parts.path.strip("/")
        endpoint = parse_qs(parts.query).get("endpoint_url", [None])[0]
        return S3Blobs(parts.netloc, f"{prefix}/" if prefix else "", endpoint_url=endpoint)
    raise BlobUrlInvalid(
        f"blob store: expected file:///folder or s3://bucket/prefix, got {parts.scheme or 'no scheme'}"
    )
