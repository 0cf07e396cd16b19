"""Files in the home folder: whole or not at all, private, destroyed when told; logs that survive a torn tail."""

import os

import pytest

from bank_node.applied_log import AppliedLog
from bank_node.durable import Disk, sweep_temporaries
from bank_node.errors import AlreadyRunning, HomeUnusable
from bank_node.home import AgentLock, Home
from bank_node.opening import open_node
from bank_node.outbox import Outbox
from bank_node.usage import DailyUsage
from protocol.ids import sha256_hex
from protocol.messages import AppliedRound
from protocol.statements import ContributionStatement, SignedStatement
from tests.common.enrolled_home import enrolled_home

UUID = "01930000-0000-7000-8000-000000000001"


class Crash(BaseException):
    """Falls out of everything, as SIGKILL does."""


def crash_at(n):
    count = 0

    def reached(step):
        nonlocal count
        count += 1
        if count == n:
            raise Crash(step)

    return reached


def steps_of(action):
    steps = []
    action(Disk(steps.append))
    return len(steps)


def test_a_write_interrupted_anywhere_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "file"
    for n in range(1, steps_of(lambda disk: disk.write(path, b"old")) + 1):
        Disk().write(path, b"old")
        with pytest.raises(Crash):
            Disk(crash_at(n)).write(path, b"new")
        assert path.read_bytes() in {b"old", b"new"}
    sweep_temporaries(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_files_are_readable_by_their_owner_alone(tmp_path):
    Disk().write(tmp_path / "sub" / "file", b"x")
    assert (tmp_path / "sub" / "file").stat().st_mode & 0o077 == 0
    assert (tmp_path / "sub").stat().st_mode & 0o077 == 0


def test_destroyed_content_is_overwritten_before_the_file_goes(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"secret" * 10)
    with path.open("rb") as open_before:
        Disk().destroy(path)
        assert not path.exists()
        left = open_before.read()
    assert len(left) == 60
    assert b"secret" not in left
    Disk().destroy(path)  # again: nothing to do


def _applied(index, aggregate):
    return AppliedRound(
        round=index,
        contributors=(UUID,),
        query=sha256_hex(b"q"),
        digest=sha256_hex(aggregate),
        size_bytes=len(aggregate),
    )


def test_an_applied_log_torn_anywhere_gives_the_whole_records_before(tmp_path):
    path = tmp_path / "applied.log"
    log = AppliedLog(path, Disk())
    aggregates = [b"", b"abc", os.urandom(50)]
    ends = [0]
    for index, aggregate in enumerate(aggregates):
        log.append(_applied(index, aggregate), aggregate)
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    assert [bytes_ for _, bytes_ in log.replay()] == aggregates
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        expected = sum(end <= cut for end in ends[1:])
        assert len(list(AppliedLog(path, Disk()).replay())) == expected
        assert path.stat().st_size == ends[expected]
        log.append(_applied(expected, b"next"), b"next")
        assert len(list(log.replay())) == expected + 1


def test_an_applied_log_with_a_flipped_bit_ends_before_it(tmp_path):
    path = tmp_path / "applied.log"
    log = AppliedLog(path, Disk())
    log.append(_applied(0, b"abc"), b"abc")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    assert list(log.replay()) == []


def _signed(index, contribution):
    statement = ContributionStatement(
        training=UUID,
        round=index,
        node=UUID,
        query=sha256_hex(b"q"),
        history=sha256_hex(b"h"),
        digest=sha256_hex(contribution),
        size_bytes=len(contribution),
    )
    return SignedStatement(statement=statement, signature="AAAA")


def test_the_outbox_gives_back_the_same_bytes_or_nothing(tmp_path):
    outbox = Outbox(tmp_path / "contribution", Disk())
    contribution = os.urandom(100)
    outbox.put(_signed(3, contribution), contribution)
    assert outbox.get(3) == (_signed(3, contribution), contribution)
    assert outbox.get(2) is None
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:3], whole[:50], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        file.write_bytes(damaged)
        assert outbox.get(3) is None
    outbox.clear()
    outbox.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, 50, 99, 100, 101, 300])
def test_the_outbox_keeps_the_latest_contribution_also_over_a_longer_one(tmp_path, size):
    outbox = Outbox(tmp_path / "contribution", Disk())
    first, second = os.urandom(100), os.urandom(size)
    outbox.put(_signed(3, first), first)
    outbox.put(_signed(4, second), second)
    assert outbox.get(3) is None
    assert outbox.get(4) == (_signed(4, second), second)


def test_a_contribution_torn_while_it_is_written_over_another_is_none(tmp_path):
    outbox = Outbox(tmp_path / "contribution", Disk())
    first, second = bytes(100), b"\xff" * 100
    outbox.put(_signed(3, first), first)
    before = (tmp_path / "contribution").read_bytes()
    outbox.put(_signed(4, second), second)
    after = (tmp_path / "contribution").read_bytes()
    for cut in range(len(after)):
        (tmp_path / "contribution").write_bytes(after[:cut] + before[cut:])
        assert outbox.get(4) is None
        assert outbox.get(3) in {None, (_signed(3, first), first)}


def test_a_file_is_written_over_from_its_beginning_and_made_whole_the_first_time(tmp_path):
    path, steps = tmp_path / "sub" / "file", []
    disk = Disk(steps.append)
    disk.overwrite(path, b"first")
    assert path.stat().st_mode & 0o077 == 0
    disk.overwrite(path, b"2nd")
    assert path.read_bytes() == b"2ndst"
    assert steps == ["write:file", "rename:file", "written:file", "overwrite:file", "overwritten:file"]


def test_rounds_a_day_are_counted_across_restarts_and_begin_anew_at_midnight(tmp_path):
    now = [1_764_000_000.0]
    usage = DailyUsage(tmp_path / "usage.json", Disk(), lambda: now[0])
    for _ in range(3):
        usage.count()
    again = DailyUsage(tmp_path / "usage.json", Disk(), lambda: now[0])
    assert again.rounds_today() == 3
    now[0] += 86_400
    assert again.rounds_today() == 0
    again.count()
    assert again.rounds_today() == 1


def test_half_written_files_are_swept_by_who_holds_the_lock_alone(tmp_path):
    home, leftover = Home(tmp_path), tmp_path / "trainings" / ".deal.json.0123abcd"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    lock = AgentLock(home)
    with pytest.raises(HomeUnusable, match="take the lock"):
        lock.sweep()
    with open_node(enrolled_home(tmp_path)):  # as `score` and `check-plan` do, beside an agent
        pass
    assert leftover.exists()
    with lock:
        lock.sweep()
    assert not leftover.exists()


def test_only_one_agent_works_in_a_home_folder(tmp_path):
    home = Home(tmp_path)
    with AgentLock(home), pytest.raises(AlreadyRunning), AgentLock(home):
        pass
    with AgentLock(home):
        pass
