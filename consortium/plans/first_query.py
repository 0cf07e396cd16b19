"""What a plan's algorithm asks for first, found out in a process of its own: algorithms bring pandas and a compiler,
some seventy megabytes that the server itself has no other use for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from consortium.lru_cache import LRUCache
from consortium.plans.errors import PlanInvalid
from consortium.replay import build_algorithm
from protocol.statements import canonical_digest

_TIMEOUT_S = 60.0


class FirstQuery(NamedTuple):
    """The first sum of a training: its name and how many values it has; an empty name if there is none."""

    name: str
    length: int


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
        raise PlanInvalid(f"plan {plan!r}: learning: {answer['error']}")
    return FirstQuery(answer["name"], answer["length"])


def describe(learning: Mapping[str, Any]) -> dict[str, Any]:
    """Name and length of the first query, or the error."""
    try:
        algorithm = build_algorithm(learning)
        query = algorithm.next_query(algorithm.start())
    except (ValueError, KeyError, TypeError) as error:
        return {"error": str(error)}
    return {"name": "", "length": 0} if query is None else {"name": query.name, "length": query.length}


if __name__ == "__main__":
    json.dump(describe(json.load(sys.stdin)), sys.stdout)
