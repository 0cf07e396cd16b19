"""The part of a plan that says how every bank derives its features from its own rows, before any secure sum."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from protocol.ids import Name, UUIDText
from protocol.statements import WireModel

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class FeatureRecipe(WireModel):
    """What a bank's node computes inside the bank, from which columns of which table.

    Attributes:
        dataset: the table's name in every bank's own settings; each bank maps it to a file of its own.
        customer: column with the customer, for profiles.
        time: column with the transaction's time.
        amount: column with the amount, for profiles.
        label: for people; nothing is computed from it. Learned from is `learning.label` or `learning.inputs.label`.
        profile_windows_days: windows of the customer profiles (spend, frequency, recency), in days; empty for none.
        entity_tables: trainings of kind ``entity_tables`` whose summed tables give risk features; a bank takes part
            only if it holds the table and its key.
    """

    dataset: Name = "transactions"
    customer: ColumnName | None = None
    time: ColumnName | None = None
    amount: ColumnName | None = None
    label: ColumnName | None = None
    profile_windows_days: tuple[Annotated[int, Field(ge=1, le=366)], ...] = ()
    entity_tables: tuple[UUIDText, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> FeatureRecipe:
        if self.profile_windows_days and not (self.customer and self.time and self.amount):
            raise ValueError("profile_windows_days: profiles need the columns customer, time and amount")
        if self.entity_tables and not self.time:
            raise ValueError("entity_tables: risk features need the column time")
        if len(set(self.profile_windows_days)) != len(self.profile_windows_days):
            raise ValueError("profile_windows_days: windows must be distinct")
        return self
