"""`policy.toml`: the bank's rules as people write them, and the rules made from it."""

from __future__ import annotations

import tomllib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bank_node.errors import SettingsInvalid
from bank_node.fingerprint import Fingerprint
from bank_node.home import Home
from bank_node.policy import (
    AgreementBelowDefault,
    AllOf,
    AllowedAlgorithms,
    AllowedPlans,
    ColumnsAtMost,
    ContributionRequest,
    ContributorsAtLeast,
    PlanRequest,
    ProtectionRequired,
    QuorumAtLeast,
    RosterAtLeast,
    RosterRequest,
    RoundsADay,
    ShareRequest,
    SmudgingAtLeast,
    ThresholdAtLeast,
)
from bank_node.settings import describe_invalid
from protocol.ids import DigestHex, Name

#: The kinds that `learning.algorithms` knows, which is not asked: it pulls in pandas and Numba.
AlgorithmKind = Literal["gbdt", "random_gbdt", "logistic", "fedavg", "entity_tables", "drift"]


class PrivacyBudget(BaseModel):
    """What all trainings with privacy noise may cost this bank together.

    Attributes:
        epsilon: most epsilon spent over all trainings, composed as Gaussian mechanisms on the same records.
        delta: at which epsilon is stated, once for all trainings together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)


class PolicySettings(BaseModel):
    """The bank's policy.

    Attributes:
        plans: names of the plans that may be trained; empty allows any.
        plan_digests: digests of plans that may be trained, beside those named.
        algorithms: kinds of algorithm; empty allows any.
        allow_unprotected: whether plans without encryption may be trained.
        min_contributors: fewest banks in a plan's quorum, on a roster and in any sum that this bank helps to open.
        min_threshold: fewest committee members who open a sum, also where a plan has agreement.
        require_agreement: whether a threshold below the default needs agreement.
        min_smudging_bits: fewest bits under which shares are drowned.
        max_rounds_a_day: most rounds contributed to in a day (UTC), over all trainings.
        max_columns: most features and entities that a plan may ask for.
        max_rows: most rows that are used; a larger table is refused, never sampled silently.
        privacy: the privacy budget; without one, plans with privacy noise are accepted at any cost, as are plans
            without noise.
        require_privacy: whether plans without privacy noise are refused; true where there is a budget, unless the bank
            says false.
        banks: name → fingerprint of every bank that may be on a roster; without the table each is trusted at first
            sight.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plans: tuple[Name, ...] = ()
    plan_digests: tuple[DigestHex, ...] = ()
    algorithms: tuple[AlgorithmKind, ...] = ()
    allow_unprotected: bool = False
    min_contributors: int = Field(default=3, ge=2)
    min_threshold: int = Field(default=3, ge=2)
    require_agreement: bool = True
    min_smudging_bits: int = Field(default=40, ge=30)
    max_rounds_a_day: int = Field(default=20_000, ge=1)
    max_columns: int = Field(default=500, ge=1)
    max_rows: int = Field(default=50_000_000, ge=1)
    privacy: PrivacyBudget | None = None
    require_privacy: bool = False
    banks: dict[Name, Fingerprint] | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_budget_covers_every_training(cls, written: Any) -> Any:
        """What a training without noise tells of the same records no epsilon bounds."""
        if isinstance(written, dict) and written.get("privacy") is not None:
            return {"require_privacy": True, **written}
        return written


def never_met(settings: PolicySettings, own: str | None) -> list[str]:
    """Sentences on rules that no training can keep together.

    Args:
        settings: the policy's.
        own: this bank's name, which its table may have, or None where it has none yet.
    """
    if settings.banks is None:
        return []
    most = len(settings.banks.keys() - {own}) + 1
    least = {"min_contributors": settings.min_contributors, "min_threshold": settings.min_threshold}
    return [
        f"[banks] lets at most {most} banks be on a roster with this one, and {name} asks for {fewest}: "
        "this bank would take part in no training"
        for name, fewest in least.items()
        if fewest > most
    ]


class Policy:
    """The rules, ready to be asked.

    Args:
        settings: what the bank has written.
    """

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings
        self.plan: AllOf[PlanRequest] = AllOf(
            [
                AllowedPlans(frozenset(settings.plans), frozenset(settings.plan_digests)),
                AllowedAlgorithms(frozenset(settings.algorithms)),
                ProtectionRequired(settings.allow_unprotected),
                SmudgingAtLeast(settings.min_smudging_bits),
                ThresholdAtLeast(settings.min_threshold),
                QuorumAtLeast(settings.min_contributors),
                ColumnsAtMost(settings.max_columns),
            ]
        )
        self.roster: AllOf[RosterRequest] = AllOf(
            [
                RosterAtLeast(settings.min_contributors),
                ThresholdAtLeast(settings.min_threshold),
                AgreementBelowDefault(settings.require_agreement),
            ]
        )
        self.contribution: AllOf[ContributionRequest] = AllOf([RoundsADay(settings.max_rounds_a_day)])
        self.share: AllOf[ShareRequest] = AllOf([ContributorsAtLeast(settings.min_contributors)])


def load_policy(home: Home) -> Policy:
    """The bank's policy; the defaults, which are the strict side, if there is no file.

    Raises:
        SettingsInvalid: the file does not parse or has an unknown or wrong field; every one is named.
    """
    if not home.policy.exists():
        return Policy(PolicySettings())
    try:
        written = tomllib.loads(home.policy.read_text(encoding="utf-8"))
        return Policy(PolicySettings.model_validate(written))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{home.policy}: not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsInvalid(describe_invalid(str(home.policy), error, PolicySettings, PrivacyBudget)) from error


POLICY_TEMPLATE = """\
# This bank's policy. No service can override it. What is not set has the default shown.
# plans = ["card-fraud"]          # only these plans; [] allows any
# algorithms = ["gbdt", "random_gbdt", "logistic", "fedavg", "entity_tables", "drift"]   # [] allows any
# allow_unprotected = false       # plans without encryption
# min_contributors = 3            # fewest banks in any sum
# min_threshold = 3               # fewest committee members who open a sum
# require_agreement = true        # below the default threshold
# min_smudging_bits = 40
# max_rounds_a_day = 20000
# max_columns = 500
# max_rows = 50000000
# require_privacy = false         # refuse plans without privacy noise; true with a budget, unless said otherwise
# [banks]                         # who may be on a roster, by fingerprint; see `bank-node banks --help`
# bank-b = "0f1e 2d3c …"
# [privacy]                       # what all trainings with noise may cost together
# epsilon = 8.0
# delta = 1e-5
"""
