"""SIGKILL to the server, a worker, Redis (its data lost) and PostgreSQL at random points of a training."""

from __future__ import annotations

import random
import time

import pytest

from consortium.trainings.tables import Training
from learning.driver import run
from learning.entities import EntityTableSettings
from learning.entity_tables import EntityTables
from tests.common.tables_learning import SETTINGS, build, rows_of
from tests.faults.deployment import Deployment, check_history, strike

pytestmark = pytest.mark.server

#: A round a day, of 1,024 values.
LONG = EntityTableSettings.model_validate({**SETTINGS.model_dump(), "width": 1024, "last_day": "2026-03-31"})


def survive(folder, *, kills: int, seed: int, quiet: tuple[float, float]) -> list[str]:
    """Runs a training under so many kills; returns what was killed."""
    rng = random.Random(seed)
    data = [rows_of(number, LONG) for number in range(5)]
    struck: list[str] = []
    plan = {
        "name": "tables",
        "learning": LONG.model_dump(mode="json"),
        "cohort": {"min_banks": 5},
        "deadlines": {"contribution_s": 120, "share_s": 120},
    }
    with Deployment(folder, build, data) as deployment:
        training = deployment.start_training(plan)
        while not deployment.ended() and len(struck) < kills:
            time.sleep(rng.uniform(*quiet))
            struck.append(strike(deployment, rng))
        until = time.monotonic() + 240
        while not deployment.ended() and time.monotonic() < until:
            time.sleep(0.1)
        assert not deployment.failures, deployment.failures
        assert deployment.ended(), (
            deployment.service.log.read_text()[-3000:],
            [b.answered[-3:] for b in deployment.banks],
        )
        rounds = check_history(deployment, training)
        with deployment.session() as s:
            ended = s.get_one(Training, training)
            assert ended.state == "completed", ended.reason
        # Nobody was away: every sum is over all five banks, and the model is the in-process driver's.
        assert {len(row.contributors) for row in rounds} == {5}
        assert ended.model_digest == run(EntityTables(LONG), data).digest().hex()
        assert {bank.ended.model for bank in deployment.banks} == {ended.model_digest}
    return struck


def test_a_training_survives_twenty_kills(tmp_path):
    struck = survive(tmp_path, kills=20, seed=20261124, quiet=(0.1, 0.8))
    assert len(struck) == 20
    assert len(set(struck)) == 4


@pytest.mark.slow
def test_trainings_survive_two_hundred_kills(tmp_path):
    struck: list[str] = []
    seed = 1
    while len(struck) < 200:
        folder = tmp_path / str(seed)
        folder.mkdir()
        struck += survive(folder, kills=25, seed=seed, quiet=(0.05, 0.8))
        seed += 1
    assert len(struck) >= 200
