"""Plans and rosters that contradict themselves are refused with the field named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.history import contributors_digest, first_history, next_history
from protocol.plan import Plan, Protection
from protocol.problems import PROBLEMS, Problem, ProblemType
from protocol.roster import choose_committee, default_threshold

T = "0b5ffd5c-6f5e-4c58-9a9c-6a4a0d8f1f11"
NODES = [f"8f14e45f-ceea-467f-9f0b-{i:012x}" for i in range(12)]


@pytest.mark.parametrize(("m", "t"), [(3, 3), (5, 4), (7, 5), (9, 7)])
def test_default_threshold(m, t):
    assert default_threshold(m) == t
    assert Protection().threshold_for(m) == t


@pytest.mark.parametrize(("m", "t", "c"), [(5, 4, 2), (7, 5, 2), (9, 7, 4), (5, 3, 0)])
def test_how_many_may_collude_with_a_lying_server(m, t, c):
    assert Protection(threshold=t).safe_colluders(m) == c


def test_agreement_lets_the_plans_colluders_be():
    assert Protection(threshold=3, agreement=True, colluders=1).safe_colluders(5) == 1
    assert Protection(threshold=4, agreement=True, colluders=1).safe_colluders(5) == 2
    assert Protection(threshold=3, agreement=True, colluders=9).safe_colluders(5) == 2


def test_too_small_a_quorum_is_refused():
    with pytest.raises(ValidationError, match=r"cohort\.min_banks: with 2 colluders at least 4 banks"):
        Plan(name="p", learning={}, protection={"colluders": 2}, cohort={"min_banks": 3})


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="protektion"):
        Plan(name="p", learning={}, protektion={})


def test_the_digest_is_of_the_content():
    plan = Plan(name="p", learning={"kind": "gbdt", "trees": 3})
    assert plan.digest() == Plan.model_validate_json(plan.model_dump_json()).digest()
    assert plan.digest() != Plan(name="p", learning={"kind": "gbdt", "trees": 4}).digest()


def test_everyone_chooses_the_same_committee_and_nobody_picks_it():
    keys = {node: f"key{index}" for index, node in enumerate(NODES)}
    chosen = choose_committee(T, keys, 5)
    assert chosen == choose_committee(T, dict(reversed(keys.items())), 5) == tuple(sorted(chosen))
    assert len({choose_committee(node, keys, 5) for node in NODES}) > 1  # another training, another committee


@given(st.sampled_from(["query", "contributors", "aggregate"]), st.integers(0, 255))
def test_the_history_depends_on_all_of_it(name, byte):
    digests = {"query": "00" * 32, "contributors": "11" * 32, "aggregate": "22" * 32}
    first = first_history(T, plan="aa" * 32, roster="bb" * 32, deals="cc" * 32)
    changed = digests | {name: f"{byte:02x}" + "33" * 31}
    assert next_history(first, 0, **digests) != next_history(first, 0, **changed)
    assert next_history(first, 0, **digests) != next_history(first, 1, **digests)


@pytest.mark.parametrize("name", ["plan", "roster", "deals"])
def test_the_first_history_depends_on_plan_roster_and_deals(name):
    digests = {"plan": "aa" * 32, "roster": "bb" * 32, "deals": "cc" * 32}
    assert first_history(T, **digests) != first_history(T, **(digests | {name: "dd" * 32}))
    assert first_history(T, **digests) != first_history(NODES[0], **digests)


def test_contributor_sets_are_sets():
    assert contributors_digest(NODES[:3]) == contributors_digest(NODES[2::-1]) != contributors_digest(NODES[:4])


def test_every_problem_type_is_in_the_table():
    assert set(PROBLEMS) == set(ProblemType)
    problem = Problem.of(ProblemType.WRONG_ROUND, "round 3 is over", round=3)
    assert Problem.model_validate_json(problem.model_dump_json()).kind is ProblemType.WRONG_ROUND
    assert problem.status == 409
