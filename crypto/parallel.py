"""Chunks are independent of one another: their kernels release the GIL and run on a pool of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def for_each_chunk(count: int, work: Callable[[int], None], *, threads: int = 1) -> None:
    """Calls ``work(0) … work(count − 1)``, on so many threads; the first exception is raised."""
    if threads <= 1 or count <= 1:
        for chunk in range(count):
            work(chunk)
        return
    with ThreadPoolExecutor(min(threads, count), thread_name_prefix="crypto") as pool:
        for future in [pool.submit(work, chunk) for chunk in range(count)]:
            future.result()
