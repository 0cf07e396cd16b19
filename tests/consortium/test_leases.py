"""A task is done by one worker at a time: leases taken, renewed, given back, run out; reconcilers that back off."""

from __future__ import annotations

import threading
import time

import pytest

from consortium.db import Database
from consortium.queue import leases
from consortium.queue.embedded import EmbeddedQueue
from consortium.queue.leases import ASK_AGAIN_AT_MOST_S, LEASE_S, claim_to_queue, finish, key_of, pause_before, take
from consortium.queue.port import Task, TaskName
from consortium.reconciler import FORGOTTEN_S
from consortium.task_runner import TaskRunner
from tests.common.direct_service import DirectService
from tests.common.servers import empty_database
from tests.common.tables_learning import build

pytestmark = pytest.mark.server

TRAINING = "3f0d2c1e-0000-4000-8000-000000000000"
SUM = Task(TaskName.SUM_RANGE, (TRAINING, 3, 0))
#: Mostly done in milliseconds.
CLOSE = Task(TaskName.CLOSE_ROUND, (TRAINING, 3))


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request, tmp_path):
    with empty_database(request.param, tmp_path) as url:
        service = DirectService(tmp_path, build, database_url=url)
        yield service
        service.runtime.db.close()


@pytest.fixture
def handled(monkeypatch):
    """Every task is this function's instead of the service's own."""
    calls = []

    def handle(_runtime, *arguments):
        calls.append(arguments)
        for step in list(handle.steps):
            step()

    handle.calls, handle.steps = calls, []
    monkeypatch.setattr("consortium.task_runner._HANDLERS", dict.fromkeys(TaskName, handle))
    return handle


def test_whoever_comes_second_ends_at_once_and_the_holder_looks_once_more(service):
    key, now = key_of(SUM), service.clock.now()
    with service.runtime.db.transaction("test") as s:
        assert take(s.connection(), key, "one", now=now)
        assert not take(s.connection(), key, "two", now=now + LEASE_S / 2)
        assert not finish(s.connection(), key, "two")  # which holds nothing
        assert finish(s.connection(), key, "one")  # it was asked for meanwhile
        assert take(s.connection(), key, "two", now=now)
        assert not finish(s.connection(), key, "two")


def test_a_lease_that_is_not_renewed_is_taken_over_and_the_former_holder_gives_nothing_back(service):
    key, now = key_of(SUM), service.clock.now()
    with service.runtime.db.transaction("test") as s:
        assert take(s.connection(), key, "killed", now=now)
        leases.renew(s.connection(), ["killed"], now=now + 3)
        assert not take(s.connection(), key, "other", now=now + 3 + LEASE_S - 0.5)
        assert take(s.connection(), key, "other", now=now + 3 + LEASE_S + 0.5)
        assert not finish(s.connection(), key, "killed")
        assert not take(s.connection(), key, "third", now=now + 3 + LEASE_S + 1)


def test_of_eight_copies_delivered_at_once_one_does_the_work_and_looks_once_more(service, handled):
    runner, gate = TaskRunner(service.runtime), threading.Event()
    handled.steps.append(lambda: gate.wait(30))
    copies = [threading.Thread(target=runner.run, args=(SUM,)) for _ in range(8)]
    for copy in copies:
        copy.start()
    while sum(copy.is_alive() for copy in copies) > 1:
        time.sleep(0.01)
    gate.set()
    for copy in copies:
        copy.join()
    assert handled.calls == [SUM.arguments]
    assert service.queue.tasks == [SUM]
    runner.close()


def test_a_task_that_takes_longer_than_its_lease_is_not_queued_by_any_reconciler(service, handled):
    runner, gate = TaskRunner(service.runtime), threading.Event()
    runner.start()
    handled.steps.append(lambda: gate.wait(60))
    thread = threading.Thread(target=runner.run, args=(SUM,))
    thread.start()
    until = time.monotonic() + LEASE_S + 2
    while not handled.calls:
        time.sleep(0.01)
    while time.monotonic() < until:  # it is renewed meanwhile
        with service.runtime.db.transaction("test") as s:
            assert claim_to_queue(s, [SUM], now=service.clock.now()) == []
        time.sleep(0.2)
    gate.set()
    thread.join()
    with service.runtime.db.transaction("test") as s:
        assert claim_to_queue(s, [SUM], now=service.clock.now()) == [SUM]
    runner.close()


def test_a_brief_task_has_no_lease_until_it_has_taken_long(service, handled):
    runner, gate = TaskRunner(service.runtime), threading.Event()
    runner.start()
    runner.run(CLOSE)
    assert lease_of(service, CLOSE) is None

    handled.steps.append(lambda: gate.wait(60))
    thread = threading.Thread(target=runner.run, args=(CLOSE,))
    thread.start()
    until = time.monotonic() + FORGOTTEN_S  # before that no reconciler takes it for lost
    while lease_of(service, CLOSE) is None and time.monotonic() < until:
        time.sleep(0.02)
    with service.runtime.db.transaction("test") as s:
        assert claim_to_queue(s, [CLOSE], now=service.clock.now()) == []
    gate.set()
    thread.join()
    assert lease_of(service, CLOSE) is None
    runner.close()


def test_the_failures_of_a_brief_task_are_counted(service, handled):
    runner = TaskRunner(service.runtime)
    handled.steps.append(lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            runner.run(CLOSE)
    assert (lease_of(service, CLOSE).failures, lease_of(service, CLOSE).until) == (2, 0.0)
    runner.close()


def lease_of(service, task):
    with service.runtime.db.reading("test") as s:
        return s.get(leases.TaskLease, key_of(task))


def test_four_reconcilers_queue_a_task_once_each_three_six_twelve_seconds(service):
    now, queued = service.clock.now(), []
    for second in range(60):
        for _ in range(4):
            with service.runtime.db.transaction("test") as s:
                queued += [second for _ in claim_to_queue(s, [SUM], now=now + second)]
    assert queued == [0, 3, 9, 21, 45]
    assert pause_before(40) == ASK_AGAIN_AT_MOST_S


def test_a_failed_task_leaves_its_lease_at_once_and_is_queued_later_and_later(service, handled):
    runner = TaskRunner(service.runtime)
    handled.steps.append(lambda: 1 / 0)
    waits = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            runner.run(SUM)
        row = lease_of(service, SUM)
        assert row.until == 0.0
        assert row.error.startswith("ZeroDivisionError")
        waits.append(round(row.ask_after - service.clock.now()))
    assert waits == [3, 6]
    handled.steps.clear()
    runner.run(SUM)
    assert lease_of(service, SUM) is None
    runner.close()


def test_leases_do_not_wait_for_the_disk(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'consortium.db'}", durable=False)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 1
    database.close()


def test_the_embedded_queue_runs_a_task_once_at_a_time_and_once_more_if_it_was_asked_for_meanwhile():
    queue, gate, at_once, most, runs = EmbeddedQueue(workers=3), threading.Event(), [], [], []

    def run(task):
        at_once.append(task)
        most.append(len(at_once))
        gate.wait(30)
        at_once.pop()
        runs.append(task)

    queue.start(run)
    queue.put(SUM)
    while not at_once:
        time.sleep(0.01)
    for _ in range(5):
        queue.put(SUM)
    time.sleep(0.2)
    gate.set()
    while len(runs) < 2:
        time.sleep(0.01)
    queue.close()
    assert runs == [SUM, SUM]
    assert max(most) == 1
