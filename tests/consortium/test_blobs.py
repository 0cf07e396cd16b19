"""Every blob store keeps the same promises: a folder, and an S3 server; and a training whose bytes lie in S3."""

from __future__ import annotations

import resource
import time
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import TypeAdapter

from consortium.blobs.open import open_blobs
from consortium.blobs.port import BlobMissing, BlobStore, BlobsUnavailable
from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.schema import FeatureSchema, prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows
from tests.common.servers import free_port

pytestmark = pytest.mark.server

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}  # fmt: skip


@pytest.fixture(scope="module")
def bucket():
    """The URL of a bucket's prefix."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(
            Bucket="blobs", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield f"s3://blobs/prefix?endpoint_url=http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path, bucket):
    return open_blobs(bucket if request.param == "s3" else f"file://{tmp_path}")


@contextmanager
def files_of_at_most(size_bytes):
    """What a full disk does: a write beyond it is cut short, and the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_does_not_fit_on_the_disk_is_refused_and_never_stored_in_part(tmp_path):
    store = open_blobs(f"file://{tmp_path}")
    with files_of_at_most(100_000):
        store.put("small", bytes(100_000))
        with pytest.raises(BlobsUnavailable, match="File too large"):
            store.put("large", bytes(300_000))
        writer = store.writer()
        writer.write(bytes(90_000))
        with pytest.raises(BlobsUnavailable):
            writer.write(bytes(20_000))
        writer.abort()
        with pytest.raises(BlobsUnavailable):
            store.require_room(300_000)
        store.require_room(50_000)
    assert store.stat("large") is None
    assert list(tmp_path.glob(".incoming/*")) == []
    store.require_room(300_000)
    store.put("large", bytes(300_000))
    assert store.get("large") == bytes(300_000)


def test_a_bucket_that_is_not_there_is_a_store_that_is_away(bucket):
    store = open_blobs(bucket.replace("blobs", "none"))
    for use in (
        lambda: store.put("one", b"1"), lambda: store.get_range("one", 0, 1), lambda: store.require_room(1),
        lambda: store.drop_unfinished(before=0.0),
    ):  # fmt: skip
        with pytest.raises(BlobsUnavailable, match="NoSuchBucket from its bucket"):
            use()


def test_what_was_put_is_got_whole_and_in_parts(store):
    assert isinstance(store, BlobStore)
    data = bytes(range(256)) * 100
    store.put("uploads/ab/one", data)
    assert store.get("uploads/ab/one") == data
    assert store.get_range("uploads/ab/one", 255, 3) == b"\xff\x00\x01"
    assert store.get_range("uploads/ab/one", 0, len(data)) == data
    store.put("uploads/ab/one", b"other")
    assert store.get("uploads/ab/one") == b"other"


def test_nothing_is_seen_before_a_writer_commits(store):
    writer, other = store.writer(), store.writer()
    writer.write(b"a" * 70_000)
    other.write(b"b")
    with pytest.raises(BlobMissing):
        store.get("uploads/written")
    writer.write(b"c")
    writer.commit("uploads/written")
    other.abort()
    writer.abort()
    assert store.get("uploads/written") == b"a" * 70_000 + b"c"


def test_what_is_missing_or_deleted_is_said(store):
    store.put("gone", b"x")
    store.delete("gone")
    store.delete("gone")
    for read in (lambda: store.get("gone"), lambda: store.get_range("never", 0, 4)):
        with pytest.raises(BlobMissing, match="expected stored bytes"):
            read()


def test_size_and_time_are_told_without_reading(store):
    assert store.stat("uploads/none") is None
    began = time.time()
    store.put("uploads/sized", b"x" * 1000)
    found = store.stat("uploads/sized")
    assert found.size_bytes == 1000
    assert abs(found.written_at - began) < 60


def test_only_uploads_begun_before_a_time_are_dropped(store):
    writer = store.writer()
    writer.write(b"half")
    store.drop_unfinished(before=time.time() - 3600)
    writer.commit("uploads/whole")
    assert store.get("uploads/whole") == b"half"


def test_an_upload_in_parts_that_nobody_finished_is_aborted(bucket):
    client = boto3.client("s3", endpoint_url=bucket.partition("endpoint_url=")[2])
    client.create_multipart_upload(Bucket="blobs", Key="prefix/uploads/left")
    store = open_blobs(bucket)
    assert store.drop_unfinished(before=0.0) == 0
    assert store.drop_unfinished(before=time.time()) == 1
    assert store.drop_unfinished(before=time.time()) == 0


def test_a_training_whose_contributions_and_sums_lie_in_s3(tmp_path, bucket):
    tables = [simulated_rows(number, 500, 4) for number in range(5)]
    learning = {"kind": "gbdt", "inputs": schema_of(4), "trees": 2, "max_depth": 3, "max_bin": 16}
    settings = {"CONSORTIUM_BLOB_URL": bucket, "CONSORTIUM_INLINE_BYTES": "0", "CONSORTIUM_CHECK_AT_ONCE_BYTES": "0"}
    with ConsortiumOfNodes(tmp_path, tables, workers=2, **settings, **CREDENTIALS) as consortium:
        training = consortium.start_training({"name": "trees", "learning": learning})
        model = consortium.finish(training)["model"]
    schema = FeatureSchema.model_validate(learning["inputs"])
    algorithm = build(TypeAdapter(LearningSettings).validate_python(learning))
    assert model == run(algorithm, [prepare(table, schema) for table in tables]).digest().hex()
    address = bucket.partition("endpoint_url=")[2]
    listed = boto3.client("s3", endpoint_url=address).list_objects_v2(Bucket="blobs", Prefix="prefix")
    assert listed["KeyCount"] > 50
    assert not (tmp_path / "blobs").exists()
