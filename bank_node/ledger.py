"""The bank's privacy ledger: what trainings with noise have cost, and a refusal before the budget is exceeded."""

from __future__ import annotations

import math
from pathlib import Path

from bank_node.durable import Disk
from bank_node.errors import BudgetExhausted, PolicyRefused
from bank_node.policy_file import PolicySettings
from learning.privacy import GaussianRounds, PrivacyLedger
from protocol.plan import Plan


def cost_of(plan: Plan) -> GaussianRounds | None:
    """What a plan's noise costs in rounds of the Gaussian mechanism; None for a plan without noise.

    Entity tables: one record changes one transaction count and one fraud count by 1 in every hash row of its entity's
    column, each with noise of `noise_sigma`; all rounds together ask about each record once.
    """
    learning = plan.learning
    if learning.get("kind") != "entity_tables" or not learning.get("noise_sigma"):
        return None
    cells = 2 * int(learning.get("hash_rows", 3)) * len(learning.get("entities", ()))
    return GaussianRounds(float(learning["noise_sigma"]) / math.sqrt(cells), 1)


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
        """What was spent so far."""
        if self._path.exists():
            return PrivacyLedger.from_json(self._path.read_text(encoding="utf-8"))
        budget = self._policy.privacy
        return PrivacyLedger(budget.epsilon if budget else math.inf, budget.delta if budget else 1e-6)

    def check(self, training: str, plan: Plan) -> None:
        """Whether the plan fits; nothing is spent yet.

        Raises:
            PolicyRefused: the bank takes part only in plans with noise, and this has none.
            BudgetExhausted: it does not fit into what is left.
        """
        where, cost = f"plan {plan.name!r}", cost_of(plan)
        if cost is None:
            if self._policy.require_privacy:
                raise PolicyRefused("require_privacy", where, expected="a plan with privacy noise", got="one without")
            return
        budget, ledger = self._policy.privacy, self.read()
        if budget is None or self._spent(ledger, training):
            return
        after = ledger.epsilon_after(cost)
        if after > budget.epsilon:
            raise BudgetExhausted(
                "privacy", where, expected=f"at most epsilon {budget.epsilon:g} in all", got=f"{after:.4g} after it"
            )

    def spend(self, training: str, plan: Plan) -> None:
        """Writes the cost down before the first contribution leaves; once a training."""
        cost, ledger = cost_of(plan), self.read()
        if cost is None or self._spent(ledger, training):
            return
        after = ledger.epsilon_after(cost)
        budget = self._policy.privacy
        if budget is not None and after > budget.epsilon:
            raise BudgetExhausted(
                "privacy", f"plan {plan.name!r}", expected=f"at most epsilon {budget.epsilon:g}", got=f"{after:.4g}"
            )
        self._disk.write(self._path, ledger.spend(training, cost).to_json().encode())

    @staticmethod
    def _spent(ledger: PrivacyLedger, training: str) -> bool:
        return any(entry.purpose == training for entry in ledger.entries)
