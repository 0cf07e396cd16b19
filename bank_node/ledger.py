"""The bank's privacy ledger: what trainings have cost, noise or none, and a refusal before the budget is exceeded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from bank_node.durable import Disk
from bank_node.errors import BudgetExhausted, HomeUnusable, PolicyRefused
from bank_node.learning_settings import learning_settings
from bank_node.policy_file import PolicySettings
from bank_node.registry import Registry
from learning.errors import DataRejected
from learning.privacy import GaussianRounds, PrivacyLedger
from protocol.plan import Plan

#: At which epsilon is stated where the policy has no budget.
_DELTA = 1e-6


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
        PlanInvalid: the settings are those of no algorithm, so that nobody knows what they cost.
    """
    from learning.entities import EntityTableSettings  # noqa: PLC0415  # pulls in pandas
    from learning.noise_plan import noise_plan  # noqa: PLC0415
    from learning.random_trees_settings import RandomTreesSettings  # noqa: PLC0415

    match learning_settings(plan):
        case EntityTableSettings() as table if table.noise_sigma > 0:
            cells = 2 * table.hash_rows * len(table.entities)
            return NoisyPlan(GaussianRounds(table.noise_sigma / math.sqrt(cells), 1), table.noise_banks)
        case RandomTreesSettings() as trees if (noise := noise_plan(trees)) is not None:
            return NoisyPlan(noise.cost, noise.banks)
        case _:
            return None


class BankLedger:
    """The ledger in the home folder.

    Args:
        path: its file.
        disk: how files are changed.
        policy: the budget.
        registry: entity tables of earlier trainings, each with its plan.
    """

    def __init__(self, path: Path, disk: Disk, policy: PolicySettings, registry: Registry) -> None:
        self._path, self._disk, self._policy, self._registry = path, disk, policy, registry
        # In which state of the file a training's cost was seen written down: every round asks.
        self._seen: dict[str, tuple[int, int, int]] = {}

    def read(self) -> PrivacyLedger:
        """What was spent so far, under the budget that the policy has now.

        Raises:
            HomeUnusable: the file is damaged.
        """
        budget = self._policy.privacy
        ledger = PrivacyLedger(budget=math.inf, delta=_DELTA)
        if self._path.exists():
            try:
                ledger = PrivacyLedger.from_json(self._path.read_text(encoding="utf-8"))
            except (DataRejected, UnicodeDecodeError) as error:
                raise HomeUnusable(self._path, "not a privacy ledger", "restore it from a backup") from error
        if budget is None:
            return replace(ledger, budget=math.inf)
        return replace(ledger, budget=budget.epsilon, delta=budget.delta)

    def check(self, training: str, plan: Plan) -> None:
        """Whether the plan fits; nothing is spent yet.

        Raises:
            PlanInvalid: the plan's settings are no algorithm's.
            PolicyRefused: the bank takes part only in plans with noise, and this has none; or the noise that the plan
                relies on need not be there; or it does not bound what one record changes.
            BudgetExhausted: it does not fit into what is left.
        """
        where, noise = f"plan {plan.name!r}", noise_of(plan)
        if noise is None:
            if self._policy.require_privacy:
                raise PolicyRefused("require_privacy", where, expected="a plan with privacy noise", got="one without")
            return
        self._require_own_features(plan)
        honest = plan.honest_banks
        if noise.noise_banks > honest:
            expected = f"noise_banks of at most {honest} (the quorum less the colluders; 1 without encryption)"
            raise PolicyRefused("privacy", where, expected=expected, got=str(noise.noise_banks))
        self._require_budget(self.read(), training, plan, noise)

    def spend(self, training: str, plan: Plan) -> None:
        """Writes the cost down before the first contribution leaves; once a training, and also where there is no noise.

        Raises:
            BudgetExhausted: other trainings have used up what was left; nothing is written.
        """
        state = self._file_state()  # before it is read: whatever is put there meanwhile is another state
        if state is not None and self._seen.get(training) == state:
            return
        ledger = self.read()
        if self._spent(ledger, training):
            if state is not None:
                self._seen[training] = state
            return
        noise = noise_of(plan)
        if noise is not None:
            self._require_budget(ledger, training, plan, noise)
        spent = ledger.record(training, None if noise is None else noise.cost)
        self._disk.write(self._path, spent.to_json().encode())

    def _file_state(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _require_own_features(self, plan: Plan) -> None:
        """Noise covers what one record adds to a sum; derived features may carry it into what others add."""
        where, recipe = f"plan {plan.name!r}", plan.features
        if recipe.profile_windows_days:
            raise PolicyRefused(
                "privacy", where, expected="noise over features of one record each",
                got="customer profiles, which carry a record into the customer's other rows",
            )  # fmt: skip
        for training in recipe.entity_tables:
            table = self._registry.of_training(training)
            if table is not None and noise_of(table.plan) is None:
                raise PolicyRefused(
                    "privacy", where, expected="noise over entity tables that had noise themselves",
                    got=f"the table of training {training}, which had none and carries a record into others' rows",
                )  # fmt: skip

    def _require_budget(self, ledger: PrivacyLedger, training: str, plan: Plan, noise: NoisyPlan) -> None:
        if self._spent(ledger, training):
            return
        # A bank that says `require_privacy = false` beside a budget has put trainings without noise outside of it.
        counted = ledger if self._policy.require_privacy else ledger.of_noise()
        after = counted.epsilon_after(noise.cost)
        if after <= ledger.budget:
            return
        advice = ""
        if counted.without_noise:
            advice = (
                f"no noise in {', '.join(counted.without_noise)}, so no budget bounds what these records have told; "
                f"begin a new {self._path.name} for new records, or set require_privacy = false to count noise alone"
            )
        raise BudgetExhausted(
            "privacy", f"plan {plan.name!r}", expected=f"at most epsilon {ledger.budget:g} in all",
            got=f"{epsilon_text(after)} after it", advice=advice,
        )  # fmt: skip

    @staticmethod
    def _spent(ledger: PrivacyLedger, training: str) -> bool:
        return any(entry.purpose == training for entry in ledger.entries)


def epsilon_text(value: float) -> str:
    """An epsilon for people."""
    return f"{value:.4g}" if math.isfinite(value) else "no noise"
