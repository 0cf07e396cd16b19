"""What was read before somebody was woken is not older than the notice, is handed out once, and wakes nobody later."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import OperationalError

from consortium import foreseen
from consortium.foreseen import Foreseen
from consortium.notify.local import LocalNotifier


class Desk:
    """A counter for every subject, and who reads them."""

    def __init__(self, subjects: str) -> None:
        self.written = dict.fromkeys(subjects, 0)
        self.readings: list[list[str]] = []
        self.lock = threading.Lock()
        self.fails: Exception | None = None
        self.notifier = LocalNotifier()
        self.foreseen: Foreseen[int] = Foreseen(self.notifier, self.read)

    def read(self, subjects):
        with self.lock:
            self.readings.append(list(subjects))
            if self.fails is not None:
                raise self.fails
            return {subject: self.written[subject] for subject in subjects if self.written.get(subject)}

    def write(self, *subjects):
        with self.lock:
            for subject in subjects:
                self.written[subject] += 1
        self.notifier.notify(subjects)

    def ask(self, subject):
        return self.foreseen.get(subject, self.notifier.ticket(subject))

    def await_next(self, subject):
        ticket = self.notifier.ticket(subject)
        self.notifier.wait(subject, ticket, 10)
        return self.ask(subject)

    def await_waiting(self, count):
        while sum(map(len, self.notifier._waiting.values())) < count:
            time.sleep(0.001)


def test_all_who_are_woken_together_are_read_for_once():
    desk = Desk("abcd")
    with ThreadPoolExecutor(4) as pool:
        woken = [pool.submit(desk.await_next, subject) for subject in "abc"]
        desk.await_waiting(3)
        desk.write(*"abcd")
        assert [one.result(10) for one in woken] == [1, 1, 1]
    assert desk.readings == [list("abc")]
    assert desk.ask("d") == 1  # did not wait, and reads for itself
    assert desk.readings == [list("abc"), ["d"]]


def test_nothing_is_read_where_nobody_waits():
    desk = Desk("ab")
    desk.write("a", "b")
    assert desk.readings == []


def test_it_is_handed_out_once():
    desk = Desk("ab")
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(desk.await_next, "a")
        desk.await_waiting(1)
        desk.write("a")
        assert woken.result(10) == 1
    desk.written["a"] = 7  # by the one who was woken, of which nobody is notified
    assert desk.ask("a") == 7
    assert desk.ask("b") is None


def test_who_asks_while_it_is_read_for_him_is_not_told_it_later():
    desk = Desk("a")
    reads, go_on, read = threading.Event(), threading.Event(), desk.foreseen._read

    def slowly(subjects):
        found = read(subjects)
        reads.set()
        assert go_on.wait(10)
        return found

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(desk.notifier.wait, "a", desk.notifier.ticket("a"), 10)
        desk.await_waiting(1)
        desk.foreseen._read = slowly
        writing = pool.submit(desk.write, "a")
        assert reads.wait(10)
        desk.foreseen._read = read
        assert desk.ask("a") == 1  # as one whose wait has just ended by itself
        desk.written["a"] = 2  # and who has acted upon it, of which nobody is notified
        go_on.set()
        writing.result(10)
        waiting.result(10)
    assert desk.ask("a") == 2


def test_what_was_read_before_a_later_notice_is_not_handed_out():
    desk = Desk("ab")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desk.notifier.wait, "a", desk.notifier.ticket("a"), 10)
        desk.await_waiting(1)
        desk.write("a")
        waiting.result(10)
    desk.write("a")  # nobody waits: nothing is read
    assert desk.ask("a") == 2


def test_what_was_read_long_ago_is_not_handed_out(monkeypatch):
    monkeypatch.setattr(foreseen, "_HOLDS_S", 0.0)
    desk = Desk("ab")
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(desk.await_next, "a")
        desk.await_waiting(1)
        desk.write("a", "b")
        assert woken.result(10) == 1
    assert desk.readings == [["a"], ["a"]]


def test_what_nobody_comes_for_is_dropped_with_the_next(monkeypatch):
    desk = Desk("ab")
    for subject, holds_s in (("a", 0.0), ("b", 10.0)):
        monkeypatch.setattr(foreseen, "_HOLDS_S", holds_s)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(desk.notifier.wait, subject, desk.notifier.ticket(subject), 10)
            desk.await_waiting(1)
            desk.write(subject)
            waiting.result(10)
    assert list(desk.foreseen._for) == ["b"]


@pytest.mark.parametrize("error", [OperationalError("SELECT", None, Exception("away")), KeyError("a fault")])
def test_a_reading_that_fails_is_left_to_those_who_are_woken(error):
    desk = Desk("a")
    desk.fails = error
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(desk.await_next, "a")
        desk.await_waiting(1)
        desk.write("a")  # does not fail
        with pytest.raises(type(error)):
            woken.result(10)
    desk.fails = None
    assert desk.ask("a") == 1


def test_nobody_is_told_what_was_true_before_the_notice():
    """Many threads write and notify while others wait: after every notice each sees at least what was written then."""
    subjects = "abcdefgh"
    desk = Desk(subjects)

    def follow(subject):
        seen = 0
        while seen < 200:
            ticket = desk.notifier.ticket(subject)
            with desk.lock:
                least = desk.written[subject]
            now = desk.foreseen.get(subject, ticket) or 0
            assert now >= least
            seen = now
            if seen < 200:
                desk.notifier.wait(subject, ticket, 10)

    def write_all():
        for _ in range(100):
            desk.write(*subjects)

    with ThreadPoolExecutor(10) as pool:
        following = [pool.submit(follow, subject) for subject in subjects]
        for writing in [pool.submit(write_all) for _ in range(2)]:
            writing.result(30)
        for one in following:
            one.result(30)
