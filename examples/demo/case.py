"""What the demo trains on: every bank's table, and the plans that the operator writes for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from learning.derived_names import profile_names

#: Days after which a fraud is confirmed: later labels neither train nor count in an entity table.
LABEL_DELAY_DAYS = 7
PROFILE_WINDOWS_DAYS = (1, 7, 30)


@dataclass(frozen=True, eq=False)
class Case:
    """A consortium's data and how they are to be read.

    Attributes:
        title: for the report.
        tables: bank → its own rows.
        label: column with the fraud flag.
        features: the plan's features that the table has or that are parts of its time.
        split: of the plan's schema.
        time: column with the time, or None.
        customer: column with the customer, for profiles, or None.
        amount: column with the amount, for profiles, or None.
        entity: column with the terminal (merchant, device …) whose risk the banks sum, or None.
    """

    title: str
    tables: dict[str, pd.DataFrame]
    label: str
    features: list[dict[str, Any]]
    split: dict[str, Any]
    time: str | None = None
    customer: str | None = None
    amount: str | None = None
    entity: str | None = None
    trees: int = 40
    entity_settings: dict[str, Any] = field(default_factory=dict)

    @property
    def has_profiles(self) -> bool:
        """Whether customer profiles can be computed."""
        return None not in (self.customer, self.time, self.amount)

    def entity_learning(self) -> dict[str, Any]:
        """The settings of the entity-table training."""
        assert self.entity is not None
        assert self.time is not None
        days = pd.concat([table[self.time] for table in self.tables.values()]).dt.date
        # Wide enough that two entities seldom share both of their cells.
        active = max(int(table[self.entity].nunique()) for table in self.tables.values())
        return {
            "kind": "entity_tables", "entities": [self.entity], "time": self.time, "label": self.label,
            "first_day": str(days.min()), "last_day": str(days.max()), "hash_rows": 2,
            "width": 1 << max(8, (4 * active).bit_length()), "label_delay_days": LABEL_DELAY_DAYS,
        } | self.entity_settings  # fmt: skip

    def schema(self, entity_features: list[str]) -> dict[str, Any]:
        """The plan's feature schema, with the entity features of these names."""
        derived = profile_names(PROFILE_WINDOWS_DAYS) if self.has_profiles else []
        return {
            "features": [
                *self.features,
                *({"kind": "numeric", "name": name} for name in (*derived, *entity_features)),
            ],
            "label": self.label, "time": self.time, "split": self.split,
        }  # fmt: skip

    def recipe(self, entity_trainings: list[str]) -> dict[str, Any]:
        """The plan's part on what every bank derives from its own rows."""
        recipe: dict[str, Any] = {"time": self.time, "entity_tables": entity_trainings}
        if self.has_profiles:
            recipe |= {
                "customer": self.customer, "amount": self.amount, "profile_windows_days": PROFILE_WINDOWS_DAYS,
            }  # fmt: skip
        return recipe

    def gbdt(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The settings of the boosted trees."""
        return {
            "kind": "gbdt", "inputs": schema, "trees": self.trees, "max_depth": 5, "learning_rate": 0.2, "max_bin": 64,
        }  # fmt: skip

    def logistic(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The settings of the logistic regression."""
        return {"kind": "logistic", "inputs": schema}


def simulated(banks: int, seed: int) -> Case:
    """Five different banks' card transactions; frauds spread through terminals that all of them meet."""
    from examples.simulator import SimulationSettings, simulate  # noqa: PLC0415  # not needed for a table of one's own

    simulation = simulate(SimulationSettings(banks=banks, customers=350 * banks, terminals=90 * banks, seed=seed))
    everything = simulation.transactions
    last = everything["time"].max().normalize()
    test_from = last - pd.Timedelta(days=29)
    tables = {}
    for bank in sorted(everything["bank"].unique()):
        columns = ["time", "customer", "terminal", "amount", "channel", "merchant_category", "abroad", "fraud"]
        tables[str(bank)] = simulation.for_bank(bank)[columns].reset_index(drop=True)
    levels = {
        name: sorted(map(str, everything[name].dropna().unique())) for name in ("channel", "merchant_category")
    }  # fmt: skip
    features: list[dict[str, Any]] = [
        {"kind": "numeric", "name": "amount"},
        {"kind": "time", "name": "hour", "column": "time", "part": "hour"},
        {"kind": "time", "name": "weekday", "column": "time", "part": "weekday"},
        {"kind": "boolean", "name": "abroad"},
        *({"kind": "categorical", "name": name, "levels": found} for name, found in levels.items()),
    ]
    # The rows whose labels are not confirmed when the model is trained do not train it.
    train_to = test_from - pd.Timedelta(days=LABEL_DELAY_DAYS)
    return Case(
        title=f"{len(everything):,} simulated transactions of {banks} banks, {everything['fraud'].mean():.2%} fraud",
        tables=tables, label="fraud", features=features,
        split={"validation_from": train_to.isoformat(), "test_from": test_from.isoformat()},
        time="time", customer="customer", amount="amount", entity="terminal",
    )  # fmt: skip
