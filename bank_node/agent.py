"""The node's one loop: ask the service what is owed, do it, and take the next work from the answer.

Whatever fails for one piece of work is set aside with a growing delay, so that one bad training neither stops the
others nor keeps the node busy. A stop signal finishes the step in hand.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from bank_node.client import ServiceClient
from bank_node.errors import (
    DataUnfit,
    DealRefused,
    NodeError,
    PolicyRefused,
    Refused,
    ServiceRefused,
    StaleWork,
    Stopped,
)
from bank_node.in_force import InForce
from bank_node.status import StatusBoard
from learning.errors import LearningError
from protocol.messages import Accepted, Complaint, Work, WorkItem
from protocol.problems import ProblemType

log = structlog.get_logger("bank_node.agent")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
#: Refusals that only say that the world has moved on: nothing is wrong, and the next work says where it is.
MOVED_ON = frozenset(
    {ProblemType.WRONG_STATE, ProblemType.WRONG_ROUND, ProblemType.DEADLINE_PASSED, ProblemType.BELOW_MINIMUM}
)


class Worker(Protocol):
    """Does one piece of work; `participation.Participations` is the real one."""

    def perform(self, item: WorkItem, *, wait_s: float | None) -> Accepted | None:
        """Acts on the work and sends the answer; the last request waits for the next work if `wait_s` is given.

        Raises:
            NodeError: it will not or can not.
        """

    def halt(self, training: str, reason: str) -> None:
        """Remembers durably that this bank goes no further in this training than to its end."""

    def expire(self) -> None:
        """Destroys the keys of trainings that the service has not spoken of for too long."""


class SetAside:
    """Work that has failed, and when to try it again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: dict[tuple[object, ...], tuple[int, float]] = {}

    def due(self, item: WorkItem) -> bool:
        """True if the work may be tried now."""
        return self._failed.get(_key(item), (0, 0.0))[1] <= self._clock()

    def failed(self, item: WorkItem, *, harmless: bool) -> None:
        """Notes a failure. The first harmless one costs no delay."""
        count = self._failed.get(_key(item), (0, 0.0))[0]
        exponent = count - 1 if harmless else count
        delay = 0.0 if exponent < 0 else min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**exponent)
        self._failed[_key(item)] = (count + 1, self._clock() + delay)

    def done(self, item: WorkItem) -> None:
        """Forgets the failures of this work."""
        self._failed.pop(_key(item), None)

    def next_due_in_s(self, items: Iterable[WorkItem]) -> float:
        """Seconds until the first of these may be tried."""
        now = self._clock()
        return max(0.0, min(self._failed.get(_key(item), (0, now))[1] for item in items) - now)

    def forget_all_but(self, items: Iterable[WorkItem]) -> None:
        """Keeps the memory to what is still owed."""
        owed = {_key(item) for item in items}
        self._failed = {key: value for key, value in self._failed.items() if key in owed}


def _key(item: WorkItem) -> tuple[object, ...]:
    parts = (getattr(item, name, None) for name in ("round", "assignment", "attempt"))
    return (item.training, item.do, *parts)


def _frames(error: BaseException) -> list[str]:
    """Where a foreign exception came from, without any values."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]


class Agent:
    """Runs until it is told to stop.

    Args:
        client: the service.
        worker: who does the work.
        board: the node's status.
        stop: set by the signal handler.
        long_poll_s: how long one question may wait.
        in_force: keeps which models are in force.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ServiceClient,
        worker: Worker,
        board: StatusBoard,
        *,
        stop: threading.Event,
        long_poll_s: float,
        in_force: InForce,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._worker = worker
        self._board = board
        self._stop = stop
        self._long_poll_s = long_poll_s
        self._in_force = in_force
        self._clock = clock
        self._aside = SetAside(clock)
        self._complained: set[tuple[str, str]] = set()

    def run(self, *, once: bool = False) -> None:
        """Works until stopped; with `once` until nothing is owed."""
        work: Work | None = None
        log.info("agent:running", name=self._board.status.name, url=self._board.status.url)
        self._note(at_once=True)
        try:
            while not self._stop.is_set():
                self._worker.expire()
                if work is None or not work.items:
                    work = self._client.work(0.0 if once else self._long_poll_s)
                self._in_force.note(work.in_force)
                if once and not any(self._aside.due(item) for item in work.items):
                    return
                work = self._perform_all(work, wait_s=0.0 if once else self._long_poll_s)
                self._note()
        except Stopped:
            log.info("agent:stopped")
        except NodeError as error:
            self._board.status.stopped_by = error.in_full()
            raise
        finally:
            self._board.status.stopped = True
            self._note(at_once=True)

    def _perform_all(self, work: Work, *, wait_s: float) -> Work | None:
        """Does what is due; returns the next work, if an answer carried it."""
        due = [item for item in work.items if self._aside.due(item)]
        if work.items and not due:
            self._stop.wait(min(self._aside.next_due_in_s(work.items), LONGEST_DELAY_S))
            return None
        self._aside.forget_all_but(work.items)
        following: Work | None = None
        for index, item in enumerate(due):
            last = index == len(due) - 1
            accepted = self._perform(item, wait_s=wait_s if last else None)
            following = accepted.work if accepted is not None else None
            if self._stop.is_set():
                break
        return following

    def _perform(self, item: WorkItem, *, wait_s: float | None) -> Accepted | None:
        try:
            accepted = self._worker.perform(item, wait_s=wait_s)
        except Stopped:
            raise
        except StaleWork as error:
            log.info("work:stale", training=item.training, do=item.do, why=str(error))
            self._aside.failed(item, harmless=True)
        except ServiceRefused as error:
            self._refused_by_service(item, error)
        except DealRefused as error:
            self._failed(item, error, "work:refused")
            # Another bank's doing, before anything was summed: the ceremony may begin again without that bank.
            self._complain(item, str(error), in_full=error.in_full(), halt=False, about=error.dealer)
        except Refused as error:
            self._failed(item, error, "work:refused")
            # A policy's daily limit passes, and the bank can put its own rows right; everything else is a broken
            # promise, and the bank goes no further.
            halt = not isinstance(error, PolicyRefused | DataUnfit)
            self._complain(item, str(error), in_full=error.in_full(), halt=halt)
        except LearningError as error:  # its sentences show no values either
            self._failed(item, error, "work:failed")
            self._complain(item, str(error), halt=False)
        except NodeError as error:
            self._failed(item, error, "work:failed")
        except Exception as error:  # noqa: BLE001  # one training's fault must not stop the bank's other trainings
            self._failed(item, error, "work:crashed")
            # The class alone: a foreign exception's text may quote a value.
            self._complain(item, f"the node failed on {item.do} ({type(error).__name__}); see its log", halt=False)
        else:
            self._aside.done(item)
            return accepted
        return None

    def _refused_by_service(self, item: WorkItem, error: ServiceRefused) -> None:
        if error.problem.kind in MOVED_ON:
            log.info("work:too-late", training=item.training, do=item.do, why=str(error))
            self._aside.failed(item, harmless=True)
            return
        self._failed(item, error, "work:refused-by-service")
        if error.problem.kind is ProblemType.HISTORY_FORKED:
            self._complain(item, str(error), halt=True)

    def _failed(self, item: WorkItem, error: Exception, event: str) -> None:
        self._aside.failed(item, harmless=False)
        foreign = not isinstance(error, NodeError | LearningError)
        said = error.in_full() if isinstance(error, NodeError) else str(error)
        why = type(error).__name__ if foreign else f"{type(error).__name__}: {said}"
        log.error(event, training=item.training, do=item.do, why=why, frames=_frames(error) if foreign else None)

    def _complain(
        self, item: WorkItem, reason: str, *, halt: bool, in_full: str = "", about: str | None = None
    ) -> None:  # fmt: skip
        """Tells the operator once, and the status page in full, why this bank does not go on."""
        self._board.training(item.training).complaint = in_full or reason
        self._note(at_once=True)
        if halt:
            self._worker.halt(item.training, reason)  # what is asked of it later is refused with this sentence
        if (item.training, reason) in self._complained:
            return
        self._complained.add((item.training, reason))
        complaint = Complaint(reason=reason[:500], about=about)
        try:
            self._client.put_json(f"trainings/{item.training}/complaint", complaint)
        except ServiceRefused as error:
            log.warning("complaint:refused", training=item.training, why=str(error))

    def _note(self, *, at_once: bool = False) -> None:
        status, traffic = self._board.status, self._client.traffic
        status.requests, status.retries = traffic.requests, traffic.retries
        status.bytes_up, status.bytes_down = traffic.bytes_up, traffic.bytes_down
        status.transfer_s, status.waiting_s = traffic.transfer_s, traffic.waiting_s
        self._board.write(at_once=at_once)
