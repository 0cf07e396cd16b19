"""A blob store from its URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from consortium.blobs.folder import FolderBlobs
from consortium.blobs.port import BlobStore, BlobsUnavailable
from consortium.blobs.s3 import S3Blobs
from consortium.errors import ConsortiumError


class BlobUrlInvalid(ConsortiumError):
    """A blob store's URL that names none, or a folder that cannot be written to."""


def check_blobs(url: str) -> None:
    """Whether a URL names a blob store, without loading what S3 needs; a folder is made and tried.

    Raises:
        BlobUrlInvalid: it does not, or the folder cannot be written to.
    """
    parts = _parts(url)
    if parts.scheme != "file":
        return
    folder = Path(unquote(parts.path))
    try:
        FolderBlobs(folder).writer().abort()
    except (OSError, BlobsUnavailable) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        assert isinstance(cause, OSError)
        raise BlobUrlInvalid(
            f"blob store: expected a folder that can be written to, got {cause.filename or folder}: {cause.strerror}; "
            "see CONSORTIUM_BLOB_URL and CONSORTIUM_DATA_DIR"
        ) from error


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme == "file" or (parts.scheme == "s3" and parts.netloc):
        return parts
    raise BlobUrlInvalid(
        f"blob store: expected file:///folder or s3://bucket/prefix, got {parts.scheme or 'no scheme'}; see "
        "CONSORTIUM_BLOB_URL"
    )


def open_blobs(url: str) -> BlobStore:
    """Opens ``file:///folder`` or ``s3://bucket/prefix?endpoint_url=…``.

    Raises:
        BlobUrlInvalid: another scheme, or no bucket.
    """
    parts = _parts(url)
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)))
    prefix = parts.path.strip("/")
    endpoint = parse_qs(parts.query).get("endpoint_url", [None])[0]
    return S3Blobs(parts.netloc, f"{prefix}/" if prefix else "", endpoint_url=endpoint)
