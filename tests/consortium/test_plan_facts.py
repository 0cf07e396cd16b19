"""What a plan says, for people: every kind of learning, and each of the things that a bank's auditor asks for."""

from __future__ import annotations

from typing import get_args

import crypto
from consortium.plans.first_query import describe
from consortium.plans.plan_facts import KINDS, facts, features, safeguards
from consortium.plans.service import check_plan
from learning.algorithms import AnySettings, build
from learning.driver import run
from protocol.plan import Plan
from tests.common.tables_learning import SETTINGS, rows_of

INPUTS = {
    "features": [
        {"kind": "numeric", "name": "amount", "low": 0, "high": 5000},
        {"kind": "numeric", "name": "customer_ratio_7d"},
        {"kind": "boolean", "name": "abroad"},
        {"kind": "categorical", "name": "channel", "levels": ["shop", "web"], "unknown": "missing"},
        {"kind": "time", "name": "night", "column": "time", "part": "night"},
    ],
    "label": "fraud", "time": "time", "weight": "weight",
    "split": {"validation_from": "2026-03-01", "test_from": "2026-04-01T00:00:00", "label_delay_days": 7},
}  # fmt: skip
RECIPE = {
    "customer": "customer", "time": "time", "amount": "amount", "profile_windows_days": [1, 7],
    "entity_tables": ["01930000-0000-7000-8000-000000000001"],
}  # fmt: skip
TABLE = {
    "kind": "entity_tables", "entities": ["terminal", "device"], "time": "time", "label": "fraud",
    "first_day": "2026-01-01", "last_day": "2026-02-28", "windows_days": [7], "noise_sigma": 2.5,
}  # fmt: skip


def told(learning, **parts):
    """(the plan as the service sends it, all that is said of it by name)."""
    plan = Plan.model_validate({"name": "told", "learning": learning} | parts).model_dump(mode="json")
    settings = describe(learning)["settings"]
    return plan, dict(facts(plan, settings) + safeguards(plan, settings))


def test_every_kind_of_learning_has_its_words():
    assert set(KINDS) == {get_args(settings.model_fields["kind"].annotation)[0] for settings in get_args(AnySettings)}


def test_a_plan_of_trees_says_what_it_learns_from_what_and_how_it_is_protected():
    plan, said = told({"kind": "gbdt", "inputs": INPUTS, "trees": 40, "monotone": {"amount": 1}}, features=RECIPE)
    assert said["kind"] == "gbdt: gradient-boosted trees"
    assert said["settings"] == "trees 40, monotone (amount 1)"
    assert "max_depth 6, learning_rate 0.3" in said["settings by default"]
    assert "base_score none" in said["settings by default"]
    assert said["label"] == "fraud"
    assert said["row weights"] == "weight"
    assert said["split"] == (
        "validation from 2026-03-01, test from 2026-04-01T00:00:00, by column time; labels known after 7 days"
    )
    assert said["customer profiles"] == "1, 7 days, by columns customer, time and amount"
    assert said["entity tables"] == f"of training {RECIPE['entity_tables'][0]}"
    assert said["protection"].startswith("threshold CKKS; committee of all banks, up to nine; two thirds and one of")
    assert said["privacy noise"] == "none: the sums that are opened are exact"
    assert said["banks asked"] == "all that are enrolled; at least 3 in every sum"
    assert said["ciphertexts kept"] == "30 days"
    assert features(plan) == [
        ["amount", "numeric", "0 to 5000"], ["customer_ratio_7d", "numeric", ""], ["abroad", "boolean", ""],
        ["channel", "categorical", "shop, web; others are missing"], ["night", "time", "night of column time"],
    ]  # fmt: skip


def test_a_plan_of_tables_says_its_entities_windows_and_noise():
    plan, said = told(TABLE, protection={"level": "none"})
    assert said["entities"] == "terminal, device"
    assert said["days"] == "2026-01-01 to 2026-02-28, by column time"
    assert said["windows"] == "7 days"
    assert said["label"] == "fraud, known after 7 days"
    assert said["privacy noise"] == "standard deviation 2.5 in every count, of 2 honest banks"
    assert said["protection"] == "none: contributions are in the clear for the service"
    assert "hash_rows 3" in said["settings by default"]
    assert features(plan) == []


def test_privacy_and_a_split_by_row_are_said():
    inputs = {"features": INPUTS["features"][:1], "label": "fraud", "split": {"test_share": 0.25}}
    learning = {"kind": "random_gbdt", "inputs": inputs, "privacy": {"epsilon": 1}}
    _, said = told(learning, cohort={"min_banks": 4}, retention_days=1)
    assert said["privacy noise"] == "epsilon 1 at delta 1e-06 for every record, of 2 honest banks"
    assert said["split"] == "test 25 %, by row from a public seed"
    assert (said["customer profiles"], said["entity tables"]) == ("none", "none")
    assert said["banks asked"].endswith("at least 4 in every sum")
    assert said["ciphertexts kept"] == "1 day"
    assert told({"kind": "logistic", "inputs": inputs | {"split": {}}})[1]["split"] == "none: all rows train"


def test_what_a_bank_will_send_is_told_to_a_few_bytes_where_the_rounds_are_known():
    plan = Plan.model_validate({"name": "tables", "learning": SETTINGS.model_dump(mode="json")})
    told = check_plan(plan, banks=5, tables={})
    bits = plan.protection.sum_bits, plan.protection.smudging_bits
    parameters = crypto.derive(crypto.ParameterSpec(bits[0], 5, told.committee_size, told.threshold, bits[1]))
    sent = []
    run(
        build(SETTINGS), [rows_of(0)],
        on_round=lambda query, _: sent.append(crypto.RoundId(parameters, bytes(16), 0, query.length).message_bytes),
    )  # fmt: skip
    assert len(sent) == told.rounds_expected
    assert abs(told.bytes_per_bank - sum(sent)) <= parameters.residue_bytes * len(sent)
