"""SIGKILL to the banks' own nodes, and among them to server, workers, Redis and PostgreSQL, in mid-training.

Nobody is gone for good here: every bank's node is started again a moment later and goes on from its home folder.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import TypeAdapter
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session

from consortium.trainings.tables import Training
from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.schema import FeatureSchema, prepare
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows
from tests.faults.deployment import check_history

pytestmark = pytest.mark.server

COLUMNS = 4


class Store:
    """The service's database, read from outside."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as s:
            yield s


def plan_of(trees):
    return {
        "name": "trees",
        "learning": {"kind": "gbdt", "inputs": schema_of(COLUMNS), "trees": trees, "max_depth": 3, "max_bin": 16},
        "cohort": {"min_banks": 5},
        "deadlines": {"contribution_s": 300, "share_s": 300, "ceremony_s": 300, "invitation_s": 300},
    }


def survive(folder, *, kills, trees, seed, quiet):
    """Trains under so many kills; returns what was killed, nodes by their number."""
    rng = random.Random(seed)
    tables = [simulated_rows(number, 500, COLUMNS) for number in range(5)]
    plan, struck = plan_of(trees), []
    with ConsortiumOfNodes(folder, tables, workers=2, CONSORTIUM_RECONCILE_S="0.5") as consortium:
        training = consortium.start_training(plan)
        redis, postgres = consortium.backends
        others = [consortium.service, *consortium.workers, redis, postgres]
        while len(struck) < kills:
            if len(struck) == kills // 4:  # the first ones strike invitation and ceremony, all others the rounds
                consortium.until(training, "running")
            time.sleep(rng.uniform(*quiet))
            victim = rng.choice(consortium.nodes) if rng.random() < 2 / 3 else rng.choice(others)
            victim.kill()
            time.sleep(rng.uniform(0.0, 0.5))
            victim.start()
            struck.append(victim)
        with Store(postgres.url).session() as s:
            assert s.get_one(Training, training).state == "running"  # the last kill, too, was in the middle
        view = consortium.finish(training, timeout_s=300)
        rounds = check_history(Store(postgres.url), training)
        digests = {
            model["digest"] for node in consortium.nodes for model in node.models() if model["training"] == training
        }
    schema = FeatureSchema.model_validate(plan["learning"]["inputs"])
    settings = TypeAdapter(LearningSettings).validate_python(plan["learning"])
    expected = run(build(settings), [prepare(table, schema) for table in tables]).digest().hex()
    # Nobody was away for good: every sum is over all five banks, and the model is the in-process driver's.
    assert {len(row.contributors) for row in rounds} == {5}
    assert digests == {view["model"]} == {expected}
    return struck


def test_a_training_survives_kills_of_nodes_and_everything_else(tmp_path):
    struck = survive(tmp_path, kills=14, trees=40, seed=7, quiet=(0.1, 0.9))
    assert len(struck) == 14


@pytest.mark.slow
def test_trainings_survive_two_hundred_kills_of_nodes_and_everything_else(tmp_path):
    struck, seed = 0, 100
    while struck < 200:
        folder = tmp_path / str(seed)
        folder.mkdir()
        struck += len(survive(folder, kills=25, trees=80, seed=seed, quiet=(0.05, 0.9)))
        seed += 1
