"""The bank's privacy ledger: what trainings with noise have cost, and a refusal before the budget is exceeded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from bank_node.durable import Disk
from bank_node.errors import BudgetExhausted, PolicyRefused
from bank_node.policy_file import PolicySettings
from learning.privacy import GaussianRounds, PrivacyLedger
from protocol.plan import Plan, ProtectionLevel


@dataclass(frozen=True, slots=True)
class NoisyPlan:
    """What a plan with noise costs a record, and what it relies on.

    Attributes:
        cost: in rounds of the Gaussian mechanism.
        noise_banks: honest banks whose noise alone must be enough.
    """

    cost: GaussianRounds
    noise_banks: int


def noise_of(plan: Plan) -> NoisyPlan | None:
    """A plan's noise; None for a plan without.

    Entity tables: one record changes one transaction count and one fraud count by 1 in every hash row of its entity's
    column, each with noise of `noise_sigma`; all rounds together ask about each record once. Random trees: see
    `learning.noise_plan`.

    Raises:
        PolicyRefused: the settings are not those of random trees, so that nobody knows what they cost.
    """
    learning = plan.learning
    match learning.get("kind"):
        case "entity_tables" if learning.get("noise_sigma"):
            cells = 2 * int(learning.get("hash_rows", 3)) * len(learning.get("entities", ()))
            cost = GaussianRounds(float(learning["noise_sigma"]) / math.sqrt(cells), 1)
            return NoisyPlan(cost, int(learning.get("noise_banks", 2)))
        case "random_gbdt" if learning.get("privacy"):
            return _noise_of_random_trees(plan)
        case _:
            return None


def _noise_of_random_trees(plan: Plan) -> NoisyPlan | None:
    from learning.noise_plan import noise_plan  # noqa: PLC0415  # pulls in pandas
    from learning.random_trees_settings import RandomTreesSettings  # noqa: PLC0415

    try:
        noise = noise_plan(RandomTreesSettings.model_validate(dict(plan.learning)))
    except ValidationError as error:
        found = error.errors()[0]
        got = f"{'.'.join(map(str, found['loc'])) or 'learning'}: {found['msg']}"
        raise PolicyRefused("privacy", f"plan {plan.name!r}", expected="settings of random trees", got=got) from error
    return None if noise is None else NoisyPlan(noise.cost, noise.banks)


def _honest_banks(plan: Plan) -> int:
    """Banks whose noise nobody can subtract again: each bank knows its own, colluders tell theirs to each other."""
    if plan.protection.level is ProtectionLevel.NONE:
        return 1  # every contribution is seen by itself
    return plan.cohort.min_banks - max(1, plan.protection.colluders)


class BankLedger:
    """The ledger in the home folder.

    Args:
        path: its file.
        disk: how files are changed.
        policy: the budget.
    """

    def __init__(self, path: Path, disk: Disk, policy: PolicySettings) -> None:
        self._path, self._disk, self._policy = path, disk, policy

    def read(self) -> PrivacyLedger:
        """What was spent so far, under the budget that the policy has now."""
        budget = self._policy.privacy
        ledger = PrivacyLedger(budget=math.inf, delta=1e-6)
        if self._path.exists():
            ledger = PrivacyLedger.from_json(self._path.read_text(encoding="utf-8"))
        if budget is None:
            return replace(ledger, budget=math.inf)
        return replace(ledger, budget=budget.epsilon, delta=budget.delta)

    def check(self, training: str, plan: Plan) -> None:
        """Whether the plan fits; nothing is spent yet.

        Raises:
            PolicyRefused: the bank takes part only in plans with noise, and this has none; or the noise that the plan
                relies on need not be there.
            BudgetExhausted: it does not fit into what is left.
        """
        where, noise = f"plan {plan.name!r}", noise_of(plan)
        if noise is None:
            if self._policy.require_privacy:
                raise PolicyRefused("require_privacy", where, expected="a plan with privacy noise", got="one without")
            return
        honest = _honest_banks(plan)
        if noise.noise_banks > honest:
            expected = f"noise_banks of at most {honest} (the quorum less the colluders; 1 without encryption)"
            raise PolicyRefused("privacy", where, expected=expected, got=str(noise.noise_banks))
        self._require_budget(self.read(), training, plan, noise)

    def spend(self, training: str, plan: Plan) -> None:
        """Writes the cost down before the first contribution leaves; once a training.

        Raises:
            BudgetExhausted: other trainings have used up what was left; nothing is written.
        """
        noise, ledger = noise_of(plan), self.read()
        if noise is None or self._spent(ledger, training):
            return
        self._require_budget(ledger, training, plan, noise)
        self._disk.write(self._path, ledger.spend(training, noise.cost).to_json().encode())

    def _require_budget(self, ledger: PrivacyLedger, training: str, plan: Plan, noise: NoisyPlan) -> None:
        if self._spent(ledger, training):
            return
        after = ledger.epsilon_after(noise.cost)
        if after > ledger.budget:
            raise BudgetExhausted(
                "privacy", f"plan {plan.name!r}", expected=f"at most epsilon {ledger.budget:g} in all",
                got=f"{after:.4g} after it",
            )  # fmt: skip

    @staticmethod
    def _spent(ledger: PrivacyLedger, training: str) -> bool:
        return any(entry.purpose == training for entry in ledger.entries)
