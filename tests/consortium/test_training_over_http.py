"""A training over real HTTP with the embedded workers: banks poll, answer, and are answered with their next work."""

from __future__ import annotations

import time

import pytest

from protocol.states import TrainingState
from tests.common.http_service import served
from tests.common.http_training import run_training
from tests.common.tables_learning import build, expected_model


@pytest.mark.parametrize("level", ["none", "ckks"])
def test_a_training_runs_over_http_with_the_embedded_workers(tmp_path, level):
    with served(tmp_path, build) as (runtime, url):
        began = time.monotonic()
        training, banks = run_training(runtime, url, level)
        took = time.monotonic() - began
        for bank in banks:
            bank.transport.client.close()
    assert training.status is TrainingState.COMPLETED, training.reason
    assert training.model_digest == expected_model(range(5))
    assert {bank.ended.model for bank in banks} == {training.model_digest}
    assert took < 10
