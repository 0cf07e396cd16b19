"""Reads for several at once: what is told is not older than the question, and a failure is nobody else's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from consortium.together import Together


def test_who_asks_while_one_is_read_for_is_read_for_together_afterwards():
    together: Together[str, int] = Together()
    began, go_on, readings = threading.Event(), threading.Event(), []

    def read(keys):
        readings.append(set(keys))
        began.set()
        go_on.wait(10)
        return {key: len(readings) for key in keys}

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.get, "a", read)
        assert began.wait(10)
        others = [pool.submit(together.get, key, read) for key in "bcdb"]
        while len(together._gathering.keys) < 3:
            pass
        go_on.set()
        assert first.result(10) == 1
        assert [other.result(10) for other in others] == [2, 2, 2, 2]
    assert readings == [{"a"}, {"b", "c", "d"}]


def test_what_changes_before_one_asks_is_in_its_answer():
    """Many threads: each writes, then asks; no answer may be from before the writing."""
    together: Together[int, int] = Together()
    lock, written = threading.Lock(), dict.fromkeys(range(8), 0)

    def read(keys):
        with lock:
            return {key: written[key] for key in keys}

    def write_and_ask(number):
        for count in range(1, 300):
            with lock:
                written[number] = count
            assert together.get(number, read) == count

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write_and_ask, number) for number in range(8)]:
            done.result(30)


def test_a_reading_that_fails_is_made_anew_by_the_next_who_waits():
    together: Together[str, str] = Together()
    began, go_on = threading.Event(), threading.Event()

    def fails(_keys):
        began.set()
        go_on.wait(10)
        raise OSError("away")

    def read(keys):
        return dict.fromkeys(keys, "read")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(together.get, "a", fails)
        assert began.wait(10)
        second = pool.submit(together.get, "b", read)
        go_on.set()
        with pytest.raises(OSError, match="away"):
            first.result(10)
        assert second.result(10) == "read"
    assert together.get("unknown", lambda _: {}) is None
