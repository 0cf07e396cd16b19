"""Every rule of a bank's policy refuses what it should, names itself, and lets the rest pass."""

import json
import tomllib
from typing import get_args

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from bank_node.cli import main
from bank_node.errors import PolicyRefused, SettingsInvalid
from bank_node.fingerprint import grouped
from bank_node.home import Home
from bank_node.policy import ContributionRequest, PlanRequest, RosterRequest, ShareRequest
from bank_node.policy_file import POLICY_TEMPLATE, AlgorithmKind, Policy, PolicySettings, load_policy, never_met
from learning.algorithms import AnySettings, LearningSettings
from protocol.plan import Plan
from tests.common.nodes import schema_of

TRAINING = "01930000-0000-7000-8000-000000000001"


GBDT = {"kind": "gbdt", "inputs": schema_of(3)}
TABLES = {
    "kind": "entity_tables", "entities": ["terminal", "payee", "device"], "time": "time", "label": "fraud",
    "first_day": "2026-01-01", "last_day": "2026-01-12",
}  # fmt: skip
EVERY_KIND = [
    GBDT,
    TABLES,
    {"kind": "random_gbdt", "inputs": schema_of(3), "edges": "sketched"},
    {"kind": "logistic", "inputs": schema_of(3)},
    {"kind": "fedavg", "inputs": schema_of(3)},
    {"kind": "drift", "inputs": schema_of(3)},
]


def plan(**changes):
    """A plan that a service would take: its learning settings are some algorithm's."""
    made = Plan.model_validate({"name": "card-fraud", "learning": GBDT, **changes})
    TypeAdapter(LearningSettings).validate_python(made.learning)
    return made


def refused_by(policy, kind, request):
    with pytest.raises(PolicyRefused) as caught:
        getattr(Policy(PolicySettings.model_validate(policy)), kind).check(request)
    assert caught.value.rule in str(caught.value)
    assert caught.value.expected in str(caught.value)
    return caught.value.rule


def test_the_default_policy_takes_a_plain_encrypted_plan():
    Policy(PolicySettings()).plan.check(PlanRequest(plan()))


@pytest.mark.parametrize(
    ("policy", "changes", "rule"),
    [
        ({"plans": ["aml"]}, {}, "plans"),
        ({"plan_digests": ["0" * 64]}, {}, "plans"),
        ({"algorithms": ["logistic"]}, {}, "algorithms"),
        ({}, {"protection": {"level": "none"}}, "allow_unprotected"),
        ({}, {"protection": {"smudging_bits": 30}}, "min_smudging_bits"),
        ({"min_contributors": 4}, {}, "min_contributors"),
        *[({"max_columns": 2}, {"learning": learning}, "max_columns") for learning in EVERY_KIND],
        ({}, {"protection": {"threshold": 2}}, "min_threshold"),
        ({}, {"protection": {"threshold": 2, "agreement": True}}, "min_threshold"),
        ({}, {"protection": {"committee_size": 2}}, "min_threshold"),
        ({"min_threshold": 5}, {"protection": {"committee_size": 5}}, "min_threshold"),
        ({"min_threshold": 8}, {}, "min_threshold"),
    ],
)
def test_each_plan_rule_refuses(policy, changes, rule):
    assert refused_by(policy, "plan", PlanRequest(plan(**changes))) == rule


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ({"plans": ["aml", "card-fraud"]}, {}),
        ({"plan_digests": [plan().digest()]}, {}),
        ({"plans": ["aml"], "plan_digests": [plan().digest()]}, {}),
        ({"algorithms": ["gbdt"]}, {}),
        ({"allow_unprotected": True}, {"protection": {"level": "none"}}),
        ({"min_contributors": 3}, {}),
        *[({"max_columns": 3}, {"learning": learning}) for learning in EVERY_KIND],
        ({"min_threshold": 2}, {"protection": {"threshold": 2}}),
        ({}, {"protection": {"threshold": 3, "agreement": True}}),
        ({"min_threshold": 4}, {"protection": {"committee_size": 5}}),
        ({"allow_unprotected": True}, {"protection": {"level": "none", "threshold": 2}}),
    ],
)
def test_each_plan_rule_lets_pass(policy, changes):
    Policy(PolicySettings.model_validate(policy)).plan.check(PlanRequest(plan(**changes)))


def test_too_few_banks_on_the_roster_are_refused():
    request = RosterRequest(plan(), banks=3, committee_size=3, threshold=3)
    assert refused_by({"min_contributors": 4}, "roster", request) == "min_contributors"


def test_fewer_members_than_the_policy_asks_for_never_open_a_sum_however_they_agree():
    agreed = plan(protection={"threshold": 2, "agreement": True})
    request = RosterRequest(agreed, banks=5, committee_size=5, threshold=2)
    assert refused_by({}, "roster", request) == "min_threshold"
    # A plan for nine that begins with four has a smaller threshold than it promised.
    assert refused_by({"min_threshold": 4}, "roster", RosterRequest(plan(), 4, 4, 3)) == "min_threshold"
    Policy(PolicySettings(min_threshold=3)).roster.check(RosterRequest(plan(), 4, 4, 3))


def test_a_plans_own_colluders_never_open_a_sum():
    cohort = {"min_banks": 5}
    contradictory = plan(protection={"colluders": 3}, cohort=cohort)
    request = RosterRequest(contradictory, banks=5, committee_size=3, threshold=3)
    assert refused_by({}, "roster", request) == "min_threshold"
    Policy(PolicySettings()).roster.check(RosterRequest(contradictory, banks=5, committee_size=5, threshold=4))


def test_fingerprints_may_be_written_as_people_write_them(tmp_path):
    home = Home(tmp_path)
    digest = "0123456789abcdef" * 4
    for text in (digest, digest.upper(), grouped(digest), ":".join(digest[i : i + 2] for i in range(0, 64, 2))):
        home.policy.write_text(f'[banks]\nbank-b = "{text}"\n')
        assert load_policy(home).settings.banks == {"bank-b": digest}
    home.policy.write_text("[banks]\n")
    assert load_policy(home).settings.banks == {}  # nobody is listed: not the same as no table


def test_a_low_threshold_needs_agreement():
    low = {"protection": {"threshold": 3}}
    assert refused_by({}, "roster", RosterRequest(plan(**low), 5, 5, 3)) == "require_agreement"
    Policy(PolicySettings()).roster.check(RosterRequest(plan(), 5, 5, 4))
    agreed = {"protection": {"threshold": 3, "agreement": True}}
    Policy(PolicySettings()).roster.check(RosterRequest(plan(**agreed), 5, 5, 3))
    Policy(PolicySettings(require_agreement=False)).roster.check(RosterRequest(plan(**low), 5, 5, 3))


def test_rounds_a_day_and_small_contributor_sets_are_refused():
    assert (
        refused_by({"max_rounds_a_day": 2}, "contribution", ContributionRequest(TRAINING, 7, 2)) == "max_rounds_a_day"
    )
    Policy(PolicySettings(max_rounds_a_day=2)).contribution.check(ContributionRequest(TRAINING, 7, 1))
    assert refused_by({}, "share", ShareRequest(TRAINING, 7, 2)) == "min_contributors"
    Policy(PolicySettings()).share.check(ShareRequest(TRAINING, 7, 3))


def test_the_template_states_the_defaults(tmp_path):
    home = Home(tmp_path)
    home.policy.write_text(POLICY_TEMPLATE)
    assert load_policy(home).settings == PolicySettings()
    uncommented = [
        line[2:].split("  #")[0]
        for line in POLICY_TEMPLATE.splitlines()
        if line.startswith("# ") and "=" in line and "plans" not in line and "algorithms" not in line
    ]
    body = [line for line in uncommented if not line.startswith(("epsilon", "delta", "bank-b"))]
    home.policy.write_text("\n".join(body))
    assert load_policy(home).settings == PolicySettings()


def test_the_policy_in_force_is_shown_as_it_could_be_written(tmp_path):
    home = Home(tmp_path)
    banks = f'[banks]\n"a.b" = "{"0f" * 32}"\n'
    home.policy.write_text(f'plans = ["cards"]\n[privacy]\nepsilon = 2.0\ndelta = 1e-6\n{banks}')
    shown = CliRunner().invoke(main, ["policy", "show", "--home", str(tmp_path)]).output
    settings = load_policy(home).settings
    assert PolicySettings.model_validate(tomllib.loads(shown)) == settings
    assert settings.require_privacy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_contributors = 1", "min_contributors: expected greater than or equal to 2"),
        ("surprise = 3", "surprise: there is no such setting; expected one of algorithms"),
        ("min_contributers = 3", "min_contributers: there is no such setting; did you mean min_contributors?"),
        ("min_contributors = [", "not TOML"),
        ("[privacy]\ndelta = 2", "privacy.delta: expected less than 1"),
        ("[privacy]\nepsilom = 2", "privacy.epsilom: there is no such setting; did you mean epsilon?"),
        ('[banks]\nb = "0f1e"', "banks.b"),
        ('plans = "cards"', "plans: expected a list"),
        ('algorithms = ["gbtd"]', "algorithms.0: expected 'gbdt', 'random_gbdt'"),
    ],
)
def test_a_wrong_policy_file_is_refused_and_named(tmp_path, text, said):
    home = Home(tmp_path)
    home.policy.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load_policy(home)
    assert str(caught.value).startswith(f"{home.policy}: ")
    assert said in str(caught.value)


def test_the_kinds_of_algorithm_are_those_that_can_be_built():
    kinds = {get_args(part.model_fields["kind"].annotation)[0] for part in get_args(AnySettings)}
    assert set(get_args(AlgorithmKind)) == kinds


def test_a_policy_that_no_training_can_meet_is_told(tmp_path, monkeypatch):
    home = Home(tmp_path)
    listed = "".join(f'bank-{name} = "{name * 64}"\n' for name in "bc")
    for text, told in {
        "": False,
        "[banks]\n": True,
        f"[banks]\n{listed}": False,
        f"min_contributors = 4\n[banks]\n{listed}": True,
        f"min_threshold = 4\n[banks]\n{listed}": True,
    }.items():
        home.policy.write_text(text)
        done = CliRunner().invoke(main, ["policy", "check", "--home", str(tmp_path)])
        assert done.exit_code == 0, done.output
        assert ("would take part in no training" in done.output) is told, text
        for_programs = CliRunner().invoke(main, ["policy", "check", "--json", "--home", str(tmp_path)])
        found = json.loads(for_programs.output)
        assert found["policy"] == str(home.policy)
        assert bool(found["warnings"]) is told


def test_a_bank_that_lists_itself_is_not_counted_twice():
    listed = PolicySettings(banks={name: name[-1] * 64 for name in ("bank-a", "bank-b")})
    assert never_met(listed, None) == []  # nobody knows yet which of them, if any, this bank is
    assert "at most 2 banks" in never_met(listed, "bank-a")[0]
    assert never_met(listed, "bank-c") == []
