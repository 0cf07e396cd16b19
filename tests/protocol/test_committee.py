"""Committee and threshold as plan and acceptances determine them; none that the plan's colluders could do without."""

import base64
import hashlib
import uuid

import pytest
from pydantic import ValidationError

import crypto
from consortium.plans.errors import PlanInvalid
from consortium.plans.service import check_plan
from protocol.committee import committee_for
from protocol.errors import CommitteeTooWeak
from protocol.plan import Plan
from protocol.statements import Acceptance, SignedStatement
from tests.common.tables_learning import SETTINGS

TRAINING = str(uuid.UUID(int=1))


def acceptances(count, draw="keys"):
    """Of so many banks, with other sealing keys for every draw."""
    found = []
    for index in range(count):
        key = base64.b64encode(hashlib.sha512(f"{draw} {index}".encode()).digest()).decode()
        node = str(uuid.UUID(int=100 + index))
        acceptance = Acceptance(training=TRAINING, node=node, plan="ab" * 32, sealing_key=key)
        found.append(SignedStatement(statement=acceptance, signature="AAAA"))
    return found


def plan(cohort=None, **protection):
    return Plan.model_validate(
        {"name": "p", "learning": SETTINGS.model_dump(mode="json"), "protection": protection, "cohort": cohort or {}}
    )


@pytest.mark.parametrize(
    ("count", "protection", "size", "threshold"),
    [
        (5, {}, 5, 4),
        (7, {}, 7, 5),
        (9, {}, 9, 7),
        (40, {}, 9, 7),
        (40, {"committee_size": 5}, 5, 4),
        (40, {"committee_size": 5, "threshold": 3}, 5, 3),
        (3, {"committee_size": 5, "threshold": 4}, 3, 3),
        (5, {"level": "none"}, 0, 0),
    ],
)
def test_size_and_threshold(count, protection, size, threshold):
    committee, got = committee_for(plan(**protection), TRAINING, acceptances(count))
    assert (len(committee), got) == (size, threshold)
    assert list(committee) == sorted(committee)
    assert set(committee) <= {signed.statement.node for signed in acceptances(count)}


def test_the_order_in_which_banks_are_named_does_not_matter():
    assert committee_for(plan(), TRAINING, acceptances(20)) == committee_for(plan(), TRAINING, acceptances(20)[::-1])


def test_an_id_that_the_service_has_searched_for_puts_nobody_on_the_committee():
    """The service finds an id under which its three banks of twelve are on a committee of five, for the keys that it
    guesses; the banks' own keys, made once the training has its id, draw another.
    """
    five, friends = plan(committee_size=5), {str(uuid.UUID(int=100 + index)) for index in range(3)}

    def suits(training, draw):
        return friends <= set(committee_for(five, training, acceptances(12, draw))[0])

    found = [
        training
        for training in map(str, map(uuid.UUID, (f"{k:032x}" for k in range(400))))
        if suits(training, "guessed")
    ]
    assert len(found) > 5
    # By chance it is 10 of 220.
    hits = sum(suits(training, f"fresh {draw}") for training in found[:5] for draw in range(40))
    assert hits < 40


def test_every_banks_key_is_in_the_draw():
    five, drawn = plan(committee_size=5), acceptances(12)
    for index in range(12):
        others = {
            committee_for(five, TRAINING, [*drawn[:index], acceptances(12, f"{draw}")[index], *drawn[index + 1 :]])
            for draw in range(4)
        }
        assert len(others) > 1


@pytest.mark.parametrize(
    ("protection", "banks"),
    [
        ({"committee_size": 9, "threshold": 2, "colluders": 7, "agreement": True}, 9),  # 7 colluders, 2 open
        ({"committee_size": 5, "threshold": 3, "colluders": 3}, 5),
        ({"committee_size": 5, "colluders": 4}, 6),  # the default of 4
        ({"colluders": 7}, 9),
    ],
)
def test_a_plan_whose_colluders_could_open_every_sum_is_refused(protection, banks):
    with pytest.raises(ValidationError, match=r"protection\.threshold: \d colluders are assumed"):
        plan({"min_banks": banks}, **protection)


def test_so_is_a_committee_that_has_become_too_small_for_its_colluders():
    nine = plan({"min_banks": 6}, colluders=4)  # 7 of 9
    assert committee_for(nine, TRAINING, acceptances(9))[1] == 7
    assert committee_for(nine, TRAINING, acceptances(6))[1] == 5
    four = plan({"min_banks": 5}, colluders=3, committee_size=9)
    assert committee_for(four, TRAINING, acceptances(5))[1] == 4
    six = plan({"min_banks": 7}, colluders=5)  # 7 of 9, but 5 of 7
    with pytest.raises(CommitteeTooWeak, match="a threshold above the plan's 5 colluders, got 5 of 7"):
        committee_for(six, TRAINING, acceptances(7))
    with pytest.raises(PlanInvalid, match="a threshold above the plan's 5 colluders, got 5 of 7"):
        check_plan(six, banks=7, tables={})


def test_what_a_plan_says_of_its_colluders_never_contradicts_its_threshold():
    for threshold in range(2, 10):
        for colluders in range(threshold):
            made = plan({"min_banks": 10}, committee_size=9, threshold=threshold, colluders=colluders, agreement=True)
            learns = {row.who: row.learns for row in check_plan(made, banks=9, tables={}).collusion}
            (safe,) = [who for who, what in learns.items() if what.startswith("nothing: ")]
            assert f"up to {colluders} committee member" in safe
            assert f"{threshold} committee members and the server" in learns
    rows = crypto.collusion_table(9, 2, agreement=True, colluders=7)  # refused in a plan, and no contradiction either
    assert rows[-1].who == "a lying server and up to 1 committee member"
