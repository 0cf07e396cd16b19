"""The queue and the workers in the server's own process: nothing to install; the reconciler finds what is lost."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from consortium.queue.port import Task

log = structlog.get_logger("consortium.queue")


class EmbeddedQueue:
    """A queue and a few threads.

    Args:
        workers: threads; numpy and the compiled kernels work without the interpreter's lock.
    """

    def __init__(self, workers: int = 2) -> None:
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._known: set[Task] = set()
        self._running: set[Task] = set()
        self._again: set[Task] = set()
        self._workers = workers
        self._threads: list[threading.Thread] = []

    def put(self, task: Task) -> None:
        """Hands a task over, unless the same one still waits; one that runs is run once more, since what it has read
        may have changed.
        """
        with self._lock:
            if task in self._running:
                self._again.add(task)
            if task in self._known:
                return
            self._known.add(task)
        self._waiting.put(task)

    def start(self, run: Callable[[Task], None]) -> None:
        """Starts the threads.

        Args:
            run: does a task.
        """
        for number in range(self._workers):
            thread = threading.Thread(target=self._serve, args=(run,), name=f"worker-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Ends the threads after what they are at; what waits is found again by the reconciler."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=30)
        self._threads.clear()

    def _serve(self, run: Callable[[Task], None]) -> None:
        while (task := self._waiting.get()) is not None:
            with self._lock:
                self._running.add(task)
            try:
                run(task)
            except Exception:
                log.exception("task:failed", task=task.name.value, arguments=task.arguments)
            finally:
                self._ended(task)

    def _ended(self, task: Task) -> None:
        with self._lock:
            self._running.discard(task)
            self._known.discard(task)
            again = task in self._again
            self._again.discard(task)
        if again:
            self.put(task)
