"""What the benchmarks share: repeated timings, peak memory, machine facts, and where the JSON goes."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def median_seconds(work: Callable[[], Any], *, runs: int, setup: Callable[[], Any] | None = None) -> float:
    """The median time of several runs, in seconds; `setup` before each is not counted."""
    times = []
    for _ in range(runs):
        if setup is not None:
            setup()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def current_rss_mb() -> float:
    """The resident memory now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "machine": platform.machine(),
    }  # fmt: skip


@contextmanager
def printing_aside() -> Iterator[None]:
    """What is printed meanwhile, by a library too, goes to standard error: standard output is for the result."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def write_json(result: dict[str, Any], target: str) -> None:
    """Writes one JSON object to a file, or to standard output for ``-``."""
    text = json.dumps(result, indent=2)
    if target == "-":
        print(text)
        return
    Path(target).write_text(text + "\n", encoding="utf-8")
    print(f"{target}: written", file=sys.stderr)
