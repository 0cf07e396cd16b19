"""A bank that the operator removes in the middle of a training is refused from then on; the others go on without it."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import select

from consortium.access.service import Role
from consortium.members.tables import NodeRow
from consortium.reconciler import reconcile
from protocol.problems import ProblemType as P
from tests.adversarial.world import LONG_S, Upload, World, running_world, withheld

#: The service may know a node for so long without looking again.
KNOWN_S = 2.0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running_world(tmp_path_factory.mktemp("removed"), threshold=3) as world:
        yield world


def remove(world: World, node: str, role: Role) -> httpx.Response:
    upload = Upload(f"nodes/{node}", method="DELETE")
    return world.send_with(upload, world.tokens[role])


def test_a_removed_bank_is_refused_everything_and_the_training_goes_on_without_it(world):
    owed = world.until("contribute", 1)
    removed = world.banks[4]
    upload = withheld(removed, owed[removed.node])[0]
    for role in (Role.VIEWER, Role.OPERATOR):
        with world.unchanged():
            world.check_refusal(remove(world, removed.node, role), P.FORBIDDEN, "role admin")
    first = remove(world, removed.node, Role.ADMIN)
    assert first.json()["removed_at"]
    assert remove(world, removed.node, Role.ADMIN).json() == first.json()
    world.clock.ahead_s += KNOWN_S + 0.1
    for attempt in (
        upload,
        Upload("work", method="GET"),
        Upload(f"trainings/{world.training}/rounds/0/aggregate", method="GET"),
        Upload(f"trainings/{world.training}/farewell"),
        Upload("models", method="GET"),
    ):
        world.refuses(removed, attempt, P.FORBIDDEN, "'bank-4' was removed by the operator")
    # It is neither asked nor waited for once its deadline has passed.
    world.banks.remove(removed)
    world.left_out |= {1: {4}, 2: {4}}
    for bank in world.banks:
        bank.perform(owed[bank.node])
    world.clock.ahead_s += LONG_S + 1
    reconcile(world.runtime)
    world.until("contribute", 2)


def removed_bank(world: World) -> str:
    with world.runtime.db.reading("test") as s:
        node: str = s.scalars(select(NodeRow.id).where(NodeRow.removed_at.is_not(None))).one()
    return node


def test_somebody_else_signs_in_a_removed_banks_name(world):
    world.until("contribute", 2)
    gone = Upload("work", method="GET")
    assert removed_bank(world) not in {bank.node for bank in world.banks}
    world.refuses(world.banks[0], gone, P.FORBIDDEN, "was removed", iss=removed_bank(world))
