"""The bank's ledger: what plans cost, what it refuses, and that a training is paid for once, before anything leaves."""

import json
import math

import pytest
from pydantic import ValidationError

from bank_node.durable import Disk
from bank_node.errors import BudgetExhausted, HomeUnusable, PlanInvalid, PolicyRefused
from bank_node.ledger import BankLedger, noise_of
from bank_node.policy_file import PolicySettings
from bank_node.registry import ModelEntry, Registry
from learning.entities import EntityTableSettings
from learning.privacy import GaussianRounds, epsilon
from protocol.features import FeatureRecipe
from protocol.ids import sha256_hex
from protocol.plan import Plan

INPUTS = {"features": [{"kind": "numeric", "name": "amount", "low": 0, "high": 1000}], "label": "fraud"}
TABLE = {
    "kind": "entity_tables", "entities": ["terminal", "payee"], "hash_rows": 2, "noise_sigma": 10.0, "time": "time",
    "label": "fraud", "first_day": "2026-01-01", "last_day": "2026-01-31",
}  # fmt: skip
WITH_BUDGET = {"privacy": {"epsilon": 3.0, "delta": 1e-6}}
OTHER = "01930000-0000-7000-8000-000000000009"


def plan(learning=None, **parts):
    return Plan.model_validate({"name": "p", "learning": learning or random_trees(epsilon=1.0), **parts})


def random_trees(**privacy):
    return {"kind": "random_gbdt", "inputs": INPUTS, "privacy": privacy}


def ledger(folder, **policy):
    registry = Registry(folder / "models", Disk())
    return BankLedger(folder / "ledger.json", Disk(), PolicySettings.model_validate(policy), registry)


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
        with pytest.raises(PlanInvalid, match="the operator must correct the plan") as caught:
            ledger(tmp_path).check("t", plan(random_trees(**privacy)))
        assert caught.value.field.startswith("learning.privacy")
    with pytest.raises(PlanInvalid, match="first_day"):
        ledger(tmp_path).check("t", plan({name: value for name, value in TABLE.items() if name != "first_day"}))


def test_a_tables_own_defaults_are_what_it_costs():
    defaults = {name: value for name, value in TABLE.items() if name != "hash_rows"}
    settings = EntityTableSettings.model_validate(defaults)
    noise = noise_of(plan(defaults))
    assert noise.cost == GaussianRounds(10.0 / math.sqrt(2 * settings.hash_rows * 2), 1)
    assert noise.noise_banks == settings.noise_banks


@pytest.mark.parametrize("learning", [{"kind": "gbdt", "inputs": INPUTS}, {**TABLE, "noise_sigma": 0.0}])
def test_a_budget_refuses_plans_without_noise_unless_the_bank_says_otherwise(tmp_path, learning):
    with pytest.raises(PolicyRefused, match="require_privacy"):
        ledger(tmp_path, **WITH_BUDGET).check("t", plan(learning))
    ledger(tmp_path, **WITH_BUDGET, require_privacy=False).check("t", plan(learning))
    ledger(tmp_path).check("t", plan(learning))


def test_a_training_without_noise_is_on_the_ledger_and_no_budget_bounds_it(tmp_path):
    open_handed = ledger(tmp_path, **WITH_BUDGET, require_privacy=False)
    for _ in range(2):
        open_handed.spend("plain", plan({"kind": "gbdt", "inputs": INPUTS}))
    assert open_handed.read().epsilon() == math.inf
    assert open_handed.read().without_noise == ("plain",)
    text = (tmp_path / "ledger.json").read_text()
    (line,) = json.loads(text, parse_constant=pytest.fail)["entries"]
    assert line == {"purpose": "plain", "noise_multiplier": None, "rounds": None}
    with pytest.raises(BudgetExhausted, match=r"got no noise after it.*no noise in plain"):
        ledger(tmp_path, **WITH_BUDGET).check("noised", plan())
    open_handed.spend("noised", plan())  # the bank has put what has no noise outside of its budget
    with pytest.raises(BudgetExhausted, match="at most epsilon 3 in all"):
        open_handed.check("more", plan(random_trees(epsilon=3.0)))


def test_a_ledger_without_a_budget_is_json_as_well_and_an_older_one_is_still_read(tmp_path):
    ledger(tmp_path).spend("first", plan())
    path = tmp_path / "ledger.json"
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["budget"] is None
    path.write_text(path.read_text().replace('"budget": null', '"budget": Infinity'))
    assert ledger(tmp_path).read().epsilon() == pytest.approx(1.0, rel=5e-3)
    path.write_text("{")
    with pytest.raises(HomeUnusable, match=r"ledger\.json"):
        ledger(tmp_path).read()


def test_noise_over_features_that_carry_a_record_into_other_rows_is_refused(tmp_path):
    features = {"customer": "customer", "time": "time", "amount": "amount", "profile_windows_days": [1, 30]}
    with pytest.raises(ValidationError, match="a profile carries it into the features of the customer's other rows"):
        plan(features=features)
    plan({"kind": "gbdt", "inputs": INPUTS}, features=features)
    smuggled = plan().model_copy(update={"features": FeatureRecipe.model_validate(features)})
    with pytest.raises(PolicyRefused, match="customer profiles"):
        ledger(tmp_path).check("t", smuggled)


@pytest.mark.parametrize(("sigma", "fits"), [(0.0, False), (10.0, True)])
def test_noise_over_entity_tables_needs_tables_with_noise(tmp_path, sigma, fits):
    table = plan({**TABLE, "noise_sigma": sigma})
    entry = ModelEntry(
        digest="0" * 64, sha256=sha256_hex(b"{}"), training=OTHER, plan=table, rounds=1, released_at_s=0.0
    )
    Registry(tmp_path / "models", Disk()).add(entry, b"{}")
    learned = plan(features={"time": "time", "entity_tables": [OTHER]})
    if fits:
        ledger(tmp_path).check("t", learned)
        return
    with pytest.raises(PolicyRefused, match=f"the table of training {OTHER}, which had none"):
        ledger(tmp_path).check("t", learned)


def test_a_ledger_begun_anew_beside_a_running_node_has_the_trainings_that_go_on(tmp_path):
    books, noisy = ledger(tmp_path, **WITH_BUDGET), plan()
    books.spend(OTHER, noisy)
    books.spend(OTHER, noisy)
    assert len(books.read().entries) == 1
    for _ in range(2):
        (tmp_path / "ledger.json").unlink()
        books.spend(OTHER, noisy)
        books.spend(OTHER, noisy)
        assert [entry.purpose for entry in books.read().entries] == [OTHER]


def test_a_ledger_put_back_while_a_training_is_written_down_gets_it_at_the_next_round(tmp_path, monkeypatch):
    books, noisy = ledger(tmp_path), plan()
    books.spend("first", noisy)
    backup = (tmp_path / "ledger.json").read_bytes()
    write = Disk.write

    def restored(self, path, data, **options):
        write(self, path, data, **options)
        path.write_bytes(backup)

    monkeypatch.setattr(Disk, "write", restored)
    books.spend(OTHER, noisy)
    monkeypatch.undo()
    books.spend(OTHER, noisy)
    assert [entry.purpose for entry in books.read().entries] == ["first", OTHER]
