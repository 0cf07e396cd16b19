"""The learning state after k rounds, replayed from the stored aggregates: the service keeps no other copy of it.

A worker holds the latest state of a few trainings, so that a round costs one `apply`; a worker that was started anew,
or comes to a training for the first time, replays it from its first round. All of them arrive at the same state, bit
for bit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from learning.query import Algorithm, Query, from_fixed_point
from protocol.aggregate import decode_aggregate

AnyAlgorithm = Algorithm[Any, Any, Any]
#: A training's algorithm from its plan's `learning` settings.
BuildAlgorithm = Callable[[Mapping[str, Any]], AnyAlgorithm]


@dataclass(frozen=True)
class LearningPoint:
    """Where the learning stands after `round` rounds.

    Attributes:
        algorithm: built from the plan.
        round: rounds applied.
        state: the algorithm's.
        query: what the next round sums; None when the rounds are done.
    """

    algorithm: AnyAlgorithm
    round: int
    state: Any
    query: Query | None

    @classmethod
    def start(cls, algorithm: AnyAlgorithm) -> LearningPoint:
        """Before the first round."""
        state = algorithm.start()
        return cls(algorithm, 0, state, algorithm.next_query(state))

    def apply(self, total: NDArray[np.int64]) -> LearningPoint:
        """After one more round.

        Args:
            total: the sum, int64 of shape (query.length,), in units of the query's resolution.
        """
        if self.query is None:
            raise ValueError("the rounds are done: there is no query to apply a sum to")
        state = self.algorithm.apply(self.state, self.query, from_fixed_point(self.query, total))
        return LearningPoint(self.algorithm, self.round + 1, state, self.algorithm.next_query(state))

    @property
    def progress(self) -> dict[str, float]:
        """What the algorithm says about itself: done, total, and metrics where it has them."""
        progress = getattr(self.state, "progress", None)
        return {} if progress is None else {str(name): float(value) for name, value in dict(progress).items()}


class LearningStates:
    """A bounded cache of learning points by training; safe to use from several threads.

    Args:
        build: makes the algorithm of a plan.
        capacity: how many trainings' states are held.
    """

    def __init__(self, build: BuildAlgorithm, capacity: int = 4) -> None:
        self._build = build
        self._capacity = capacity
        self._lock = threading.Lock()
        self._points: OrderedDict[str, LearningPoint] = OrderedDict()

    def at(
        self, training: str, learning: Mapping[str, Any], round_index: int, load: Callable[[int], bytes]
    ) -> LearningPoint:
        """The state after `round_index` rounds.

        Args:
            training: the training's id.
            learning: the plan's settings of the algorithm.
            round_index: rounds to have been applied.
            load: the published aggregate of a round.
        """
        with self._lock:
            point = self._points.get(training)
        if point is None or point.round > round_index:
            point = LearningPoint.start(self._build(learning))
        while point.round < round_index:
            if point.query is None:
                raise ValueError(f"training {training}: the rounds ended after {point.round}, asked for {round_index}")
            point = point.apply(decode_aggregate(point.query, load(point.round)))
        self.keep(training, point)
        return point

    def keep(self, training: str, point: LearningPoint) -> None:
        """Holds a state; the training that was not used for longest goes."""
        with self._lock:
            self._points[training] = point
            self._points.move_to_end(training)
            while len(self._points) > self._capacity:
                self._points.popitem(last=False)

    def forget(self, training: str) -> None:
        """Drops a training that has ended."""
        with self._lock:
            self._points.pop(training, None)


def build_algorithm(learning: Mapping[str, Any]) -> AnyAlgorithm:
    """The algorithm of a plan's `learning` settings.

    Raises:
        ValueError: the settings are none of any algorithm (pydantic's sentence names the field).
    """
    # Imported on first use: the server, where it has no workers inside, hardly ever needs it.
    from learning.algorithms import LearningSettings, build  # noqa: PLC0415

    settings: Any = TypeAdapter(LearningSettings).validate_python(dict(learning))
    return build(settings)
