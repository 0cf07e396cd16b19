"""Contributions and shares are taken without the training's lock: what may come between taking and acting upon it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import select

from consortium.queue.port import Task, TaskName
from consortium.reconciler import reconcile
from consortium.rounds import assignments, hot_path, service
from consortium.rounds import settle as settling
from consortium.rounds.all_sent import fix_and_ask
from consortium.rounds.facts import find_facts
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.errors import TooLate
from consortium.trainings.moves import lock_training
from consortium.trainings.service import pause_training, resume_training
from consortium.trainings.settle import settle
from consortium.trainings.tables import Training, TrainingMember
from protocol.messages import WorkItem
from protocol.states import RoundState, TrainingState
from tests.common.servers import PostgresServer
from tests.common.small_bank import SmallBank
from tests.consortium.test_training_thread import Consortium


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def consortium(request, tmp_path: Path):
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").url
    made = Consortium(tmp_path, database_url=url)
    yield made
    made.service.runtime.db.close()


def contribute(consortium: Consortium, numbers: range) -> None:
    for number in numbers:
        for item in consortium.banks[number].transport.work().items:
            consortium.banks[number].perform(item)


def closings(consortium: Consortium) -> list[Task]:
    return [task for task in consortium.service.queue.tasks if task.name is TaskName.CLOSE_ROUND]


def performed_while_settling(
    consortium: Consortium, training: str, bank: SmallBank, item: WorkItem, monkeypatch, step: tuple[ModuleType, str]
) -> object:
    """What a bank gets for work that it sends when the settling has read what is there, and not yet written: right
    after this step (module and function) of it.
    """
    outcome: list[object] = []

    def comes_late() -> None:
        try:
            outcome.append(bank.perform(item))
        except TooLate as error:
            outcome.append(error)

    late, waited = threading.Thread(target=comes_late), []
    module, name = step
    original = getattr(module, name)

    def interrupted(*arguments: object) -> object:
        result = original(*arguments)
        if not waited:
            late.start()
            late.join(timeout=0.5)
            waited.append(late.is_alive())
        return result

    with monkeypatch.context() as patch, consortium.service.runtime.act("test.settle") as (s, effects, now):
        patch.setattr(module, name, interrupted)
        settle(s, lock_training(s, training), effects, now=now)
    late.join(timeout=10)
    assert waited == [True], "it must wait for the transaction that settles"
    return outcome[0]


def test_a_process_that_dies_after_taking_the_last_contribution_or_share_holds_nobody_up(consortium, monkeypatch):
    training = consortium.start("ckks")
    consortium.until(training, 1)

    def dies(*_, **__):
        raise SystemExit

    contribute(consortium, range(4))
    with monkeypatch.context() as patch:
        patch.setattr(service, "fix_and_ask", dies)
        with pytest.raises(SystemExit):
            contribute(consortium, range(4, 5))
    assert consortium.rounds(training)[1].status is RoundState.COLLECTING
    reconcile(consortium.service.runtime)
    assert consortium.rounds(training)[1].status is RoundState.COLLECTING, "its process may still be at it"
    reconcile(consortium.service.runtime, forgotten_s=0.0)
    assert len(consortium.rounds(training)[1].contributors) == 5
    with monkeypatch.context() as patch:
        patch.setattr(consortium.service.queue, "put", dies)
        with pytest.raises(SystemExit):
            contribute(consortium, range(5))
    assert closings(consortium) == []
    reconcile(consortium.service.runtime, forgotten_s=0.0)
    assert closings(consortium) == [Task(TaskName.CLOSE_ROUND, (training, 1))]
    assert consortium.finish(training).status is TrainingState.COMPLETED


def test_the_same_request_again_acts_upon_what_a_dead_process_has_taken(consortium, monkeypatch):
    training = consortium.start("ckks")
    consortium.until(training, 1)
    contribute(consortium, range(4))
    (item,) = consortium.banks[4].transport.work().items
    with monkeypatch.context() as patch:
        patch.setattr(service, "settle_training", lambda *_: None)
        patch.setattr(service, "fix_and_ask", lambda *_, **__: None)
        consortium.banks[4].perform(item)
    assert consortium.rounds(training)[1].status is RoundState.COLLECTING
    consortium.banks[4].perform(item)
    assert consortium.rounds(training)[1].status is RoundState.DECRYPTING


@pytest.mark.parametrize("consortium", ["postgresql"], indirect=True)
@pytest.mark.server
def test_a_contribution_that_comes_while_the_set_is_fixed_is_in_it_or_refused(consortium, monkeypatch):
    """Against a lock-free insert: it waits for whoever fixes the set, and then finds that it is too late."""
    training = consortium.start("none", min_banks=3)
    consortium.until(training, 1)
    contribute(consortium, range(4))
    (item,) = consortium.banks[4].transport.work().items
    consortium.service.clock.ahead_s += 31.0  # the deadline has passed: the set is fixed without the fifth
    step = (settling, "_fix_contributors")
    late = performed_while_settling(consortium, training, consortium.banks[4], item, monkeypatch, step)
    assert isinstance(late, TooLate)
    with consortium.service.runtime.db.reading("test") as s:
        sent = set(
            s.scalars(select(Contribution.node).where(Contribution.round == 1, Contribution.training == training))
        )
        fixed = s.scalar(select(Round.contributors).where(Round.index == 1, Round.training == training))
    assert sent == set(fixed)


@pytest.mark.parametrize("consortium", ["postgresql"], indirect=True)
@pytest.mark.server
def test_a_share_that_comes_while_its_assignment_is_cancelled_is_refused_and_not_overwritten(consortium, monkeypatch):
    training = consortium.start("ckks")
    consortium.until(training, 1)
    contribute(consortium, range(5))
    runtime = consortium.service.runtime
    with runtime.db.reading("test") as s:
        node = s.scalar(
            select(Assignment.node).where(
                Assignment.training == training, Assignment.round == 1, Assignment.number == 0
            )
        )
    bank = next(bank for bank in consortium.banks if bank.node == node)
    (item,) = bank.transport.work().items
    consortium.service.clock.ahead_s += 21.0  # the deadline has passed: its pieces are asked of another
    step = (assignments, "assignments_of")
    assert isinstance(performed_while_settling(consortium, training, bank, item, monkeypatch, step), TooLate)
    with runtime.db.reading("test") as s:
        assert s.get_one(Assignment, (training, 1, 0)).state == "cancelled"


def test_two_last_contributions_at_once_fix_the_set(consortium):
    """Each is counted off in the round's row: one of them comes to none."""
    training = consortium.start("none")
    consortium.until(training, 1)
    contribute(consortium, range(3))
    work = [(bank, bank.transport.work().items[0]) for bank in consortium.banks[3:]]
    threads = [threading.Thread(target=bank.perform, args=(item,)) for bank, item in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(consortium.rounds(training)[1].contributors) == 5
    with consortium.service.runtime.db.looking() as c:
        assert not hot_path.is_collected(c, training, 1, now=consortium.service.clock.now())


def test_last_shares_at_once_close_the_round_once(consortium):
    training = consortium.start("ckks")
    consortium.until(training, 1)
    contribute(consortium, range(5))
    work = [(bank, item) for bank in consortium.banks for item in bank.transport.work().items]
    assert len(work) == 4
    threads = [threading.Thread(target=bank.perform, args=(item,)) for bank, item in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert closings(consortium) == [Task(TaskName.CLOSE_ROUND, (training, 1))]


def test_a_share_that_comes_twice_is_counted_once(consortium):
    training = consortium.start("ckks")
    consortium.until(training, 1)
    contribute(consortium, range(5))
    work = [(bank, item) for bank in consortium.banks for item in bank.transport.work().items]
    for _ in range(3):
        work[0][0].perform(work[0][1])
    assert consortium.rounds(training)[1].awaited == 3
    assert closings(consortium) == []


def test_while_the_operator_has_paused_the_last_share_closes_nothing(consortium):
    training = consortium.start("ckks")
    consortium.until(training, 1)
    contribute(consortium, range(5))
    work = [(bank, item) for bank in consortium.banks for item in bank.transport.work().items]
    runtime = consortium.service.runtime
    with runtime.act("test.pause") as (s, effects, now):
        pause_training(s, training, effects, now=now, reason="a look at it")
    for bank, item in work:
        bank.perform(item)
    assert closings(consortium) == []
    with runtime.act("test.resume") as (s, effects, now):
        resume_training(s, training, effects, now=now)
    assert consortium.finish(training).status is TrainingState.COMPLETED


def asked_in(consortium: Consortium, training: str, index: int) -> tuple[bool, int, dict[int, tuple[int, list[int]]]]:
    """Whether everyone is in the set, how many are awaited, and which place of the committee is asked for what."""
    with consortium.service.runtime.db.reading("test") as s:
        row, committee = s.get_one(Round, (training, index)), s.get_one(Training, training).roster.committee
        asked = s.scalars(select(Assignment).where(Assignment.training == training, Assignment.round == index))
        everyone = row.contributors == sorted(bank.node for bank in consortium.banks)
        return everyone, row.awaited, {a.number: (committee.index(a.node), a.pieces) for a in asked}


def asked_in_each(consortium: Consortium) -> list[tuple[bool, int, dict[int, tuple[int, list[int]]]]]:
    found, training = [], consortium.start("ckks")
    for index in (1, 2):
        consortium.until(training, index)
        contribute(consortium, range(5))
        found.append(asked_in(consortium, training, index))
    return found


def test_where_all_have_sent_everything_is_as_settling_would_have_left_it(consortium, monkeypatch, tmp_path):
    quick = asked_in_each(consortium)
    other = Consortium(tmp_path / "other", database_url=consortium.service.settings.database_url)
    monkeypatch.setattr(service, "fix_and_ask", lambda *_, **__: None)
    settled = asked_in_each(other)
    other.service.runtime.db.close()
    assert quick == settled
    assert [(everyone, awaited) for everyone, awaited, _ in quick] == [(True, 4), (True, 4)]
    assert quick[0][2][0][0] != quick[1][2][0][0], "another member is first in every round"


@pytest.mark.parametrize(
    ("table", "otherwise"),
    [
        pytest.param(Training, {}, id="nothing"),
        pytest.param(Training, {"state": "paused", "pause": "operator"}, id="paused"),
        pytest.param(Training, {"away": 1}, id="one-away"),
        pytest.param(TrainingMember, {"misses": 1}, id="one-has-missed"),
        pytest.param(TrainingMember, {"complaint": "no"}, id="one-complains"),
        pytest.param(Contribution, {"state": "received"}, id="unchecked"),
        pytest.param(Contribution, {"state": "refused"}, id="refused"),
        pytest.param(Round, {"awaited": 1}, id="one-awaited"),
        pytest.param(Round, {"awaited": -1}, id="paused-before"),
    ],
)
def test_where_anything_else_is_to_be_said_the_training_is_settled(consortium, monkeypatch, table, otherwise):
    training = consortium.start("ckks")
    consortium.until(training, 1)
    runtime = consortium.service.runtime
    with monkeypatch.context() as patch:
        patch.setattr(service, "settle_training", lambda *_: None)
        patch.setattr(service, "fix_and_ask", lambda *_, **__: None)
        contribute(consortium, range(5))
    of_training = {Training: Training.id, TrainingMember: TrainingMember.training}
    with runtime.db.transaction("test.otherwise") as s:
        if table in of_training:
            row = s.scalars(select(table).where(of_training[table] == training)).first()
        elif table is Round:
            row = s.get_one(Round, (training, 1))
        else:
            row = s.get_one(Contribution, (training, 1, consortium.banks[2].node))
        for name, value in otherwise.items():
            setattr(row, name, value)
    facts = find_facts(runtime.db, training, 1)
    with runtime.db.noting() as c:
        asked = fix_and_ask(c, facts, now=runtime.clock.now())
    row = consortium.rounds(training)[1]
    if not otherwise:
        assert len(asked) == row.awaited == 4
        return
    assert asked is None
    assert row.status is RoundState.COLLECTING
    with runtime.db.reading("test.asked") as s:
        assert s.get(Assignment, (training, 1, 0)) is None
