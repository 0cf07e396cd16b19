"""What a plan keeps for `retention_days` is gone afterwards; what proves the history and the models stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import select

from consortium.blobs import BlobMissing
from consortium.queue.port import TaskName
from consortium.reconciler import tidy
from consortium.rounds.tables import Assignment, Contribution, Round, SumRange
from consortium.storage.service import DAY_S, storage_of, sweep_training
from consortium.stored_body import StoredBody
from consortium.task_runner import TaskRunner
from consortium.trainings.service import cancel_training
from consortium.trainings.tables import SealedMessageRow, Training
from protocol.states import TrainingState
from tests.consortium.test_training_thread import Consortium

BODIES = (Contribution, Assignment, SealedMessageRow)


def another(consortium, folder):
    """Five more banks of the same service: a small bank knows one training."""
    more = Consortium(folder, inline_bytes=0)
    more.service = consortium.service
    for bank in more.banks:
        bank.transport.service = consortium.service
    return more


def tidied(consortium):
    """Tidies up as the reconciler does, and runs what it queues."""
    consortium.service.queue.tasks.clear()
    tidy(consortium.service.runtime)
    tasks, consortium.service.queue.tasks = consortium.service.queue.tasks, []
    runner = TaskRunner(consortium.service.runtime)
    for task in tasks:
        assert task.name is TaskName.SWEEP
        runner.run(task)
    runner.close()
    return [task.arguments[0] for task in tasks]


def held(consortium, training):
    with consortium.service.runtime.db.reading("test") as s:
        return storage_of(s, s.get_one(Training, training), consortium.service.runtime.blobs, now=0.0)


def files(folder):
    return {path for path in (Path(folder) / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("inline_bytes", [65536, 0])
def test_bodies_of_an_ended_training_go_when_their_time_is_over_and_the_rest_stays(tmp_path, inline_bytes):
    consortium = Consortium(tmp_path, inline_bytes=inline_bytes)
    training = consortium.finish(consortium.start("ckks")).id
    before = held(consortium, training)
    assert min(before.contributions, before.shares, before.sealed, before.kept) > 0
    consortium.service.clock.ahead_s += 29.9 * DAY_S
    assert tidied(consortium) == []
    consortium.service.clock.ahead_s += 0.2 * DAY_S
    assert tidied(consortium) == [training]
    after = held(consortium, training)
    assert (after.bodies, after.kept) == (0, before.kept)
    assert tidied(consortium) == []
    with consortium.service.runtime.db.reading("test") as s:
        for table in BODIES:
            for row in s.scalars(select(table).where(table.training == training)):
                assert (row.inline, row.blob) == (None, None)
                assert getattr(row, "digest", None) is not None or row.state == "cancelled"
        assert all(row.statement for row in s.scalars(select(Contribution)))
        rounds = list(s.scalars(select(Round)))
        blob = s.get_one(Training, training).model_blob
    assert all(row.aggregate_digest for row in rounds)
    assert {path.parts[-2] for path in files(tmp_path)} <= {"models", "aggregates"}
    assert consortium.service.runtime.blobs.get(blob)
    assert "swept" in consortium.events(training)
    with pytest.raises(BlobMissing, match="retention is over"):
        StoredBody(None, None).read(consortium.service.runtime.blobs)


def test_a_cancelled_training_is_swept_as_well_and_one_under_way_never(tmp_path):
    consortium = Consortium(tmp_path, inline_bytes=0)
    more = another(consortium, tmp_path / "more")
    cancelled, running = consortium.start("ckks"), more.start("ckks")
    consortium.until(cancelled, 1)
    more.until(running, 1)
    with consortium.service.runtime.act("test") as (s, effects, now):
        cancel_training(s, cancelled, effects, now=now, reason="enough")
    consortium.service.clock.ahead_s += 31 * DAY_S
    assert tidied(consortium) == [cancelled]
    assert held(consortium, cancelled).bodies == 0
    assert held(consortium, running).bodies > 0
    assert consortium.training(running).status is TrainingState.RUNNING


def test_bytes_that_another_training_names_or_has_just_sent_stay(tmp_path):
    consortium = Consortium(tmp_path, inline_bytes=0)
    # In the clear the same rows give the same bytes, hence the same key.
    more = another(consortium, tmp_path / "more")
    first, second = consortium.start("none"), more.start("none")
    consortium.until(first, 1)
    more.until(second, 1)
    with consortium.service.runtime.act("test") as (s, effects, now):
        cancel_training(s, first, effects, now=now, reason="enough")
        keys = set(s.scalars(select(Contribution.blob).where(Contribution.training == second)))
        assert keys & set(s.scalars(select(Contribution.blob).where(Contribution.training == first)))
    consortium.service.clock.ahead_s += 31 * DAY_S
    assert tidied(consortium) == [first]
    for key in keys:
        assert consortium.service.runtime.blobs.get(key)
    with consortium.service.runtime.act("test") as (s, effects, now):
        cancel_training(s, second, effects, now=now, reason="enough")
    consortium.service.clock.ahead_s += 31 * DAY_S
    fresh = consortium.service.runtime.blobs
    fresh_key = min(keys)
    now = consortium.service.clock.now()
    os.utime(Path(tmp_path) / "blobs" / fresh_key, (now, now))  # somebody has just sent the same bytes
    assert tidied(consortium) == [second]
    assert fresh.get(fresh_key)
    assert all(fresh.stat(key) is None for key in keys - {fresh_key})


def test_a_sweep_that_was_interrupted_is_finished(tmp_path, monkeypatch):
    consortium = Consortium(tmp_path, inline_bytes=0)
    training = consortium.finish(consortium.start("ckks")).id
    consortium.service.clock.ahead_s += 31 * DAY_S
    blobs, deleted = consortium.service.runtime.blobs, []
    whole = type(blobs).delete

    def delete(self, key):
        if len(deleted) == 3:
            raise OSError("killed")
        deleted.append(key)
        whole(self, key)

    monkeypatch.setattr(type(blobs), "delete", delete)
    with pytest.raises(OSError, match="killed"):
        sweep_training(consortium.service.runtime, training)
    monkeypatch.undo()
    assert consortium.training(training).swept_at is None
    assert tidied(consortium) == [training]
    assert held(consortium, training).bodies == 0


def test_sums_of_ranges_are_counted_and_go(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.finish(consortium.start("ckks")).id
    key = f"sums/{training}/0/0"
    consortium.service.runtime.blobs.put(key, b"x" * 100)
    with consortium.service.runtime.act("test") as (s, _, _now):
        s.add(SumRange(training=training, round=0, first_chunk=0, chunk_count=1, blob=key))
    assert held(consortium, training).sums == 100
    consortium.service.clock.ahead_s += 31 * DAY_S
    assert tidied(consortium) == [training]
    assert consortium.service.runtime.blobs.stat(key) is None


def test_an_upload_that_was_never_finished_is_dropped_after_a_day(tmp_path):
    consortium = Consortium(tmp_path)
    writer = consortium.service.runtime.blobs.writer()
    writer.write(b"half")
    tidied(consortium)
    assert len(files(tmp_path)) == 1
    consortium.service.clock.ahead_s += 1.1 * DAY_S
    tidied(consortium)
    assert files(tmp_path) == set()
    writer.abort()
