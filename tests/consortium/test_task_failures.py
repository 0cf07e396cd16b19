"""A task that always fails: its training's record says so, then the training is paused, and `resume` tries again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from consortium.blobs import BlobMissing
from consortium.queue import leases
from consortium.queue.port import Task, TaskName
from consortium.queue.tables import TaskLease
from consortium.reconciler import reconcile
from consortium.rounds.tables import Contribution, Round
from consortium.task_runner import TaskRunner
from consortium.trainings.service import resume_training
from consortium.trainings.tables import TrainingEventRow
from protocol.states import TrainingState
from tests.consortium.test_training_thread import Consortium


def broken(tmp_path):
    """A training whose round 0 waits to be opened, with one contribution's bytes lost; and where they were."""
    consortium = Consortium(tmp_path, inline_bytes=0)
    training = consortium.start("ckks")
    consortium.until(training, TrainingState.RUNNING)
    for _ in range(3):
        for bank in consortium.banks:
            for item in bank.transport.work().items:
                bank.perform(item)
        if consortium.rounds(training) and consortium.rounds(training)[0].shares_at is not None:
            break
        consortium.service.run_tasks()
    with consortium.service.runtime.db.reading("test") as s:
        assert s.get_one(Round, (training, 0)).shares_at is not None
        key = s.scalars(select(Contribution.blob).where(Contribution.training == training)).first()
    path = Path(tmp_path) / "blobs" / key
    return consortium, training, path, path.read_bytes()


def try_again(consortium, runner, *, times):
    """The reconciler queues what is due, again and again, and the runner runs it."""
    service = consortium.service
    for _ in range(times):
        service.clock.ahead_s += 31
        service.queue.tasks.clear()
        reconcile(service.runtime, deadlines=False)
        for task in service.queue.tasks:
            with pytest.raises(BlobMissing):
                runner.run(task)


def failures(consortium, training):
    with consortium.service.runtime.db.reading("test") as s:
        rows = s.scalars(select(TrainingEventRow).where(TrainingEventRow.training == training))
        return [(row.round, row.detail) for row in rows if row.kind == "task_failed"]


def test_a_lost_blob_is_told_after_three_failures_and_pauses_the_training_after_ten(tmp_path):
    consortium, training, path, data = broken(tmp_path)
    runner = TaskRunner(consortium.service.runtime, give_up_after=10)
    path.unlink()
    try_again(consortium, runner, times=2)
    assert failures(consortium, training) == []
    try_again(consortium, runner, times=1)
    [(round_index, detail)] = failures(consortium, training)
    assert round_index == 0
    assert detail.startswith("task close_round of round 0 has failed 3 times in a row: BlobMissing: blob ")
    try_again(consortium, runner, times=6)
    assert consortium.training(training).status is TrainingState.RUNNING
    try_again(consortium, runner, times=1)
    paused = consortium.training(training)
    assert (paused.status, paused.pause) == (TrainingState.PAUSED, "operator")
    assert "has failed 10 times in a row: BlobMissing" in paused.reason
    assert "consortium training resume" in paused.reason
    try_again(consortium, runner, times=3)  # nothing is tried any more
    assert consortium.service.queue.tasks == []

    path.write_bytes(data)
    with consortium.service.runtime.act("test") as (s, effects, now):
        resume_training(s, training, effects, now=now)
    consortium.finish(training)
    assert len(failures(consortium, training)) == 2
    runner.close()


def test_a_database_that_is_away_is_not_counted(tmp_path, monkeypatch):
    consortium, training, _, _ = broken(tmp_path)
    runner = TaskRunner(consortium.service.runtime, give_up_after=1)

    def away(*_arguments):
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr("consortium.task_runner._HANDLERS", dict.fromkeys(TaskName, away))
    brief, long = consortium.service.queue.tasks[-1], Task(TaskName.ADVANCE, (training,))
    for task in (brief, long) * 3:
        with pytest.raises(OperationalError):
            runner.run(task)
    assert failures(consortium, training) == []
    assert consortium.training(training).status is TrainingState.RUNNING
    with consortium.service.runtime.db.reading("test") as s:
        assert s.get(TaskLease, leases.key_of(brief)) is None
        assert s.get_one(TaskLease, leases.key_of(long)).failures == 0
    runner.close()
