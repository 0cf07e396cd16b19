"""What a plan's algorithm asks for first and how much it will ask for in all, found out in a process of its own:
algorithms bring pandas and a compiler, some seventy megabytes that the server itself has no other use for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from consortium.lru_cache import LRUCache
from consortium.plans.errors import PlanInvalid
from consortium.replay import build_algorithm
from protocol.findings import explained_learning
from protocol.statements import canonical_digest

_TIMEOUT_S = 60.0


class FirstQuery(NamedTuple):
    """The first sum of a training: its name and how many values it has, an empty name if there is none; an estimate of
    the rounds and values in all; whether test rows judge the model, where there is one; and the algorithm's settings,
    defaults included, without its inputs.
    """

    name: str
    length: int
    rounds: int
    values: int
    is_judged: bool
    settings: dict[str, Any]


_FOUND: LRUCache[FirstQuery] = LRUCache(64)


def first_query(plan: str, learning: dict[str, Any]) -> FirstQuery:
    """The first query of these settings.

    Args:
        plan: the plan's name, for messages.
        learning: a plan's `learning`.

    Raises:
        PlanInvalid: the settings are none of any algorithm; the sentence names the field.
    """
    return _FOUND.get(canonical_digest(learning), lambda: _ask(plan, learning))


def _ask(plan: str, learning: dict[str, Any]) -> FirstQuery:
    try:
        done = subprocess.run(  # this interpreter, this module; the settings go in by standard input
            [sys.executable, "-m", "consortium.plans.first_query"],
            input=json.dumps(learning).encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PlanInvalid(
            f"plan {plan!r}: learning: expected settings whose first query is found within {_TIMEOUT_S:.0f} s, got "
            "none by then; ask for fewer values"
        ) from error
    if done.returncode != 0:
        raise PlanInvalid(f"plan {plan!r}: learning: {done.stderr.decode(errors='replace')[-500:].strip()}")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise PlanInvalid(f"plan {plan!r}: {answer['error']}")
    return FirstQuery(**answer)


def describe(learning: Mapping[str, Any]) -> dict[str, Any]:
    """Name and length of the first query and what all take, or the error."""
    from learning.algorithms import setting_names  # noqa: PLC0415  # of the algorithms, see above
    from learning.estimate import estimate  # noqa: PLC0415

    try:
        algorithm = build_algorithm(learning)
        query = algorithm.next_query(algorithm.start())
    except ValidationError as error:
        known = setting_names()
        found = (explained_learning(finding, known) for finding in error.errors(include_url=False))
        return {"error": "; ".join(f"{where}: {said}" for where, said in found)}
    except (ValueError, KeyError, TypeError) as error:
        return {"error": f"learning: {error}"}
    if query is None:
        return FirstQuery("", 0, 0, 0, is_judged=True, settings={})._asdict()
    settings: Any = getattr(algorithm, "settings", None)  # all of them have it
    whole = estimate(settings, query)
    return FirstQuery(
        query.name, query.length, whole.rounds, whole.values, is_judged=_sets_test_rows_aside(settings),
        settings=settings.model_dump(mode="json", exclude={"inputs"}),
    )._asdict()  # fmt: skip


def _sets_test_rows_aside(settings: Any) -> bool:
    inputs = getattr(settings, "inputs", None)
    if inputs is None:
        return True
    has_rows = inputs.split.test_from is not None or inputs.split.test_share > 0
    return has_rows and getattr(settings, "evaluate", True)


if __name__ == "__main__":
    json.dump(describe(json.load(sys.stdin)), sys.stdout)
