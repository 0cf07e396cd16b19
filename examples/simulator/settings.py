"""What a simulation is asked for."""

import datetime as dt

from pydantic import BaseModel, ConfigDict, Field


class SimulationSettings(BaseModel):
    """Size, length and seed of a simulation; together they determine every row.

    Attributes:
        banks: Number of banks; they are named `bank-0` (the largest) to `bank-{banks − 1}`.
        customers: Customers of all banks together.
        terminals: Shops' terminals, online merchants and private accounts to pay to, shared by all banks' customers.
        days: Length in days, from midnight of `start`.
        seed: The same seed gives the same tables.
        start: First day.
        daily_transactions: Mean number of genuine transactions that a customer makes in a day.
        fraud_rate: Frauds aimed at, as a share of the genuine transactions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    banks: int = Field(default=5, ge=1, le=100)
    customers: int = Field(default=5000, ge=20, le=2_000_000)
    terminals: int = Field(default=1000, ge=50, le=1_000_000)
    days: int = Field(default=120, ge=14, le=1500)
    seed: int = Field(default=7, ge=0, lt=2**63)
    start: dt.date = dt.date(2025, 1, 6)
    daily_transactions: float = Field(default=1.0, gt=0, le=50)
    fraud_rate: float = Field(default=0.008, ge=0, le=0.2)
