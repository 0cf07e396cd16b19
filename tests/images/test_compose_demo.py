"""The demo of docker/compose.yaml, every container as the file says, to a trained model.

`make test-slow` runs this. It needs root and Debian's buildah; SERVICE_IMAGE, WORKER_IMAGE and NODE_IMAGE name images
that are built already.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack

import pytest

from tests.images.deployment import Deployment, own_network
from tests.images.image import image_of, mounted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(3600),  # from an empty cache on
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting images and making networks needs root"),
]

PASSWORDS = {"POSTGRES_PASSWORD": "5f0c5f0c5f0c", "REDIS_PASSWORD": "a1b2a1b2a1b2"}
BANKS = ("bank-0", "bank-1", "bank-2")


@pytest.fixture
def deployment(tmp_path):
    with ExitStack() as stack:
        images = {target: stack.enter_context(mounted(image_of(target))) for target in ("service", "worker", "node")}
        network = stack.enter_context(own_network())
        yield stack.enter_context(Deployment(tmp_path, network, images, PASSWORDS))


def test_the_demo_trains_with_three_banks_over_two_workers(deployment):
    deployment.start_postgres()
    deployment.start_redis()
    service = deployment.start("service")
    workers = [deployment.start("worker", number) for number in (1, 2)]
    deployment.wait_until_healthy("service", service)
    for worker in workers:
        deployment.wait_until_healthy("worker", worker)

    for _ in range(2):  # a second `up` runs it again
        invited = deployment.container("demo-invitations")
        done = invited.run(*deployment.services["demo-invitations"]["command"])
        assert done.returncode == 0, done.stderr
    banks = [deployment.start(name) for name in BANKS]
    training = deployment.container("demo-training").run(timeout_s=900)
    assert training.returncode == 0, training.stdout + training.stderr
    for name, bank in zip(BANKS, banks, strict=True):
        deployment.wait_until_healthy(name, bank)

    digests = set()
    for bank in banks:
        (model,) = json.loads(bank.execute("bank-node", "models", "--json").stdout)
        assert (model["name"], model["protection"]) == ("demo-trees", "ckks")
        digests.add(model["digest"])
    assert len(digests) == 1
    assert digests.pop()[:32] in training.stdout

    # The workers' check asks for this very worker.
    workers[0].stop()
    assert not workers[0].healthy()
    assert workers[1].healthy()
    # Restarted, a bank goes on: it is enrolled, and its rows are there.
    banks[0].stop()
    deployment.wait_until_healthy(BANKS[0], deployment.start(BANKS[0]))
    for log in deployment.folder.glob("*.log"):
        assert not any(password in log.read_text() for password in PASSWORDS.values()), log
