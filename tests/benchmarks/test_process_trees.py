"""What processes and their children take, against what they were made to take."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.process_trees import MemoryWatch

_MB = 200
#: A parent that waits, and a child that fills memory, gives it back when it is told to, and works.
_CHILD = f"""
import sys, time
full = bytearray(b"x") * ({_MB} << 20)
sys.stdin.readline()
del full
began = time.process_time()
while time.process_time() - began < 0.5:
    pass
print("done", flush=True)
time.sleep(60)
"""
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"


def test_a_childs_memory_and_time_are_its_parents_groups():
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as idle:
            watch = MemoryWatch({"busy": [parent.pid], "idle": [idle.pid]})
            watch.start()
            assert parent.stdin is not None
            assert parent.stdout is not None
            _until_seen(watch, _MB)
            parent.stdin.write(b"\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == b"done\n"
            cpu = watch.cpu_s()
            peaks = watch.stop()
            idle.kill()
        subprocess.run(["pkill", "--session", str(parent.pid)], check=False)
    assert _MB < peaks["busy"] < _MB + 60
    assert 0 < peaks["idle"] < 30
    assert peaks["busy"] <= peaks["all"] <= peaks["busy"] + peaks["idle"]
    assert 0.5 <= cpu["busy"] < 5
    assert cpu["idle"] < 0.5


def _until_seen(watch: MemoryWatch, mb: float) -> None:
    until = time.monotonic() + 60
    while watch.peaks_mb["busy"] <= mb:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_process_that_is_gone_takes_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    watch = MemoryWatch({"gone": [gone.pid]})
    watch.start()
    time.sleep(0.7)
    assert watch.cpu_s() == {"gone": 0.0}
    assert watch.stop() == {"gone": 0.0, "all": 0.0}
