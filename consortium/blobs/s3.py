"""Blobs in an S3-compatible bucket."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from consortium.blobs.port import BlobMissing, BlobStat, BlobsUnavailable

_SPOOL_BYTES = 8 << 20


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    """What the bucket refuses, and silence, are the store's failure."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415  # see `S3Blobs`
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        raise BlobsUnavailable(f"{error.response.get('Error', {}).get('Code', 'an error')} from its bucket") from error
    except (Boto3Error, BotoCoreError, OSError) as error:
        raise BlobsUnavailable(f"{type(error).__name__} from its bucket") from error


class S3Blobs:
    """A blob store in a bucket; credentials come from the environment, as boto3 finds them.

    Args:
        bucket: must exist.
        prefix: put before every key.
        endpoint_url: for stores other than Amazon's.
    """

    def __init__(self, bucket: str, prefix: str = "", *, endpoint_url: str | None = None) -> None:
        import boto3  # noqa: PLC0415  # a hundred megabytes and half a second that local folders do not need
        from botocore.config import Config  # noqa: PLC0415

        retries = Config(retries={"max_attempts": 8, "mode": "standard"}, max_pool_connections=64)
        self._client: Any = boto3.client("s3", endpoint_url=endpoint_url, config=retries)
        self._bucket, self._prefix, self._endpoint_url = bucket, prefix, endpoint_url

    def writer(self) -> S3Writer:
        """A new blob, written piece by piece; spooled, on disk if it is large."""
        return S3Writer(self)

    def put(self, key: str, data: bytes) -> None:
        """Stores bytes at once."""
        with _unavailable():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)

    def upload(self, key: str, file: IO[bytes]) -> None:
        """Stores a file; in parts if it is large."""
        with _unavailable():
            self._client.upload_fileobj(file, self._bucket, self._prefix + key)

    def get(self, key: str) -> bytes:
        """A blob.

        Raises:
            BlobMissing: there is none.
        """
        return self._read(key)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        """A part of a blob.

        Raises:
            BlobMissing: there is none.
        """
        return self._read(key, Range=f"bytes={offset}-{offset + size - 1}")

    def _read(self, key: str, **options: str) -> bytes:
        with _unavailable():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **options)
            except self._client.exceptions.NoSuchKey as error:
                raise BlobMissing(key) from error
            data: bytes = answer["Body"].read()
        return data

    def delete(self, key: str) -> None:
        """Deletes a blob, if it is there."""
        with _unavailable():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def stat(self, key: str) -> BlobStat | None:
        """Size and time of a blob; None if there is none."""
        with _unavailable():
            try:
                found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except self._client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
        return BlobStat(int(found["ContentLength"]), found["LastModified"].timestamp())

    def require_room(self, size_bytes: int) -> None:
        """Whether the bucket takes anything: how much it would take nobody can ask.

        Raises:
            BlobsUnavailable: it does not.
        """
        import boto3  # noqa: PLC0415  # see `S3Blobs`
        from botocore.config import Config  # noqa: PLC0415

        del size_bytes
        # Seldom asked: a client of its own, that does not wait for minutes as one does who has bytes to store.
        impatient = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=3)
        with _unavailable():
            boto3.client("s3", endpoint_url=self._endpoint_url, config=impatient).put_object(
                Bucket=self._bucket, Key=self._prefix + "probe", Body=b""
            )

    def drop_unfinished(self, *, before: float) -> int:
        """Aborts uploads in parts that were begun before this time and never committed."""
        with _unavailable():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            old = [
                upload for page in pages for upload in page.get("Uploads", [])
                if upload["Initiated"].timestamp() < before
            ]  # fmt: skip
            for upload in old:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(old)


class S3Writer:
    """A blob on its way into the bucket."""

    def __init__(self, store: S3Blobs) -> None:
        self._store = store
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115  # closed by abort

    def write(self, data: bytes) -> None:
        """Appends."""
        with _unavailable():
            self._file.write(data)

    def commit(self, key: str) -> None:
        """Puts what was written under a key."""
        self._file.seek(0)
        self._store.upload(key, self._file)
        self._file.close()

    def abort(self) -> None:
        """Forgets what was written."""
        self._file.close()
