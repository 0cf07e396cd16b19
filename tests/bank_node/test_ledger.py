"""The bank's ledger: what plans cost, what it refuses, and that a training is paid for once, before anything leaves."""

import json
import math

import pytest

from bank_node.durable import Disk
from bank_node.errors import BudgetExhausted, PolicyRefused
from bank_node.ledger import BankLedger, noise_of
from bank_node.policy_file import PolicySettings
from learning.privacy import GaussianRounds, epsilon
from protocol.plan import Plan

INPUTS = {"features": [{"kind": "numeric", "name": "amount", "low": 0, "high": 1000}], "label": "fraud"}
TABLE = {"kind": "entity_tables", "entities": ["terminal", "payee"], "hash_rows": 2, "noise_sigma": 10.0}


def plan(learning=None, **parts):
    return Plan.model_validate({"name": "p", "learning": learning or random_trees(epsilon=1.0), **parts})


def random_trees(**privacy):
    return {"kind": "random_gbdt", "inputs": INPUTS, "privacy": privacy}


def ledger(folder, **policy):
    return BankLedger(folder / "ledger.json", Disk(), PolicySettings.model_validate(policy))


@pytest.mark.parametrize("target", [0.5, 2.0, 8.0])
def test_random_trees_cost_the_epsilon_that_they_promise(target):
    noise = noise_of(plan(random_trees(epsilon=target, delta=1e-5)))
    assert epsilon((noise.cost,), 1e-5) == pytest.approx(target, rel=5e-3)
    assert epsilon((noise.cost,), 1e-5) <= target


def test_entity_tables_cost_two_counts_in_every_hash_row_of_every_column():
    assert noise_of(plan(TABLE)).cost == GaussianRounds(10.0 / math.sqrt(8), 1)


@pytest.mark.parametrize(
    "learning",
    [
        {"kind": "gbdt", "inputs": INPUTS},
        {"kind": "random_gbdt", "inputs": INPUTS},
        {**TABLE, "noise_sigma": 0.0},
    ],
)
def test_plans_without_noise_cost_nothing_and_are_refused_where_noise_is_required(tmp_path, learning):
    assert noise_of(plan(learning)) is None
    ledger(tmp_path).check("t", plan(learning))
    ledger(tmp_path).spend("t", plan(learning))
    assert not (tmp_path / "ledger.json").exists()
    with pytest.raises(PolicyRefused, match="require_privacy"):
        ledger(tmp_path, require_privacy=True).check("t", plan(learning))


def test_a_training_is_paid_for_once_and_the_next_is_refused_when_too_little_is_left(tmp_path):
    policy = {"privacy": {"epsilon": 1.3, "delta": 1e-6}}
    ledger(tmp_path, **policy).check("first", plan())
    for _ in range(3):
        ledger(tmp_path, **policy).spend("first", plan())
    book = ledger(tmp_path, **policy)
    assert [entry.purpose for entry in book.read().entries] == ["first"]
    assert book.read().epsilon() == pytest.approx(1.0, rel=5e-3)
    book.check("first", plan())  # what is paid for goes on
    for act in (book.check, book.spend):
        with pytest.raises(BudgetExhausted, match=r"at most epsilon 1.3 in all, got 1.4") as caught:
            act("second", plan())
        assert caught.value.rule == "privacy"
    assert len(book.read().entries) == 1
    book.check("small", plan(random_trees(epsilon=0.5)))


def test_todays_policy_judges_what_was_spent_under_an_older_one(tmp_path):
    ledger(tmp_path).spend("first", plan(random_trees(epsilon=4.0)))
    assert ledger(tmp_path).read().budget == math.inf
    strict = ledger(tmp_path, privacy={"epsilon": 4.5, "delta": 1e-9})
    assert strict.read().epsilon() > 4.5  # the same noise at a smaller delta
    with pytest.raises(BudgetExhausted):
        strict.check("second", plan(random_trees(epsilon=0.1)))
    ledger(tmp_path, privacy={"epsilon": 9.0, "delta": 1e-6}).spend("second", plan(random_trees(epsilon=4.0)))
    assert len(json.loads((tmp_path / "ledger.json").read_text())["entries"]) == 2


@pytest.mark.parametrize(
    ("noise_banks", "parts", "fits"),
    [
        (2, {}, True),  # three banks, one of them colluding
        (3, {}, False),
        (3, {"cohort": {"min_banks": 4}}, True),
        (3, {"cohort": {"min_banks": 4}, "protection": {"colluders": 2}}, False),
        (3, {"cohort": {"min_banks": 3}, "protection": {"colluders": 0}}, False),  # each bank knows its own noise
        (2, {"protection": {"level": "none"}}, False),
        (1, {"protection": {"level": "none"}}, True),
    ],
)
def test_noise_that_need_not_be_there_is_refused(tmp_path, noise_banks, parts, fits):
    for learning in (random_trees(epsilon=1.0, noise_banks=noise_banks), {**TABLE, "noise_banks": noise_banks}):
        if fits:
            ledger(tmp_path).check("t", plan(learning, **parts))
            continue
        with pytest.raises(PolicyRefused, match="noise_banks of at most"):
            ledger(tmp_path).check("t", plan(learning, **parts))


def test_settings_whose_cost_nobody_knows_are_refused(tmp_path):
    for privacy in ({"epsilon": -1.0}, {"epsilon": 1.0, "noise_multiplier": 1.0}, {"sigma": 3}):
        with pytest.raises(PolicyRefused, match="settings of random trees"):
            ledger(tmp_path).check("t", plan(random_trees(**privacy)))
