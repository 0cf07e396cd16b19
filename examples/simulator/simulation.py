"""From rows to the table that a bank would export."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from examples.simulator.errors import UnknownBank
from examples.simulator.frauds import frauds
from examples.simulator.settings import SimulationSettings
from examples.simulator.traffic import DAY_SECONDS, Rows, concatenate, genuine
from examples.simulator.vocabulary import (
    CATEGORY_NAMES,
    CHANNELS,
    FOREIGN_COUNTRIES,
    HOME_COUNTRY,
    TYPOLOGIES,
    TYPOLOGY_NAMES,
)
from examples.simulator.world import Floats, Ints, World, build_world, stream


@dataclass(frozen=True)
class Simulation:
    """Simulated transactions.

    Attributes:
        settings: What was asked for.
        transactions: One row for each transaction, in order of time; the columns are in docs/simulator.md.
    """

    settings: SimulationSettings
    transactions: pd.DataFrame

    @property
    def banks(self) -> tuple[str, ...]:
        """The banks' names, the largest bank first."""
        return tuple(f"bank-{i}" for i in range(self.settings.banks))

    def for_bank(self, name: str) -> pd.DataFrame:
        """One bank's rows, in order of time, with an index from 0.

        Raises:
            UnknownBank: There is no such bank.
        """
        if name not in self.banks:
            raise UnknownBank(name, self.banks)
        rows = self.transactions
        return rows[rows["bank"] == name].reset_index(drop=True)


def _strings(names: Sequence[str], codes: Ints) -> pd.Series:
    """The name of each code; missing for −1, which takes the last entry."""
    return pd.Series(np.array([*names, None], dtype=object)[codes], dtype="str")


def _labels(prefix: str, rng: np.random.Generator, codes: Ints, total: int) -> pd.Series:
    """Opaque names: the number in a name says nothing about who bears it."""
    return _strings([f"{prefix}{number:07d}" for number in rng.permutation(total)], codes)


def _report_days(rng: np.random.Generator, typology: Ints) -> Floats:
    """Days until a fraud is reported, gamma with shape 1.5; missing for genuine transactions."""
    mean = np.array([t.report_days for t in TYPOLOGIES.values()])[typology]
    delay = np.maximum(0.05, np.round(mean / 1.5 * rng.gamma(1.5, 1.0, len(typology)), 2))
    return np.where(typology < 0, np.nan, delay)


def _categories(names: Sequence[str], codes: Ints) -> pd.Series:
    """The category of each code; missing for −1."""
    return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(names))))


def _table(world: World, rows: Rows) -> pd.DataFrame:
    settings, rng = world.settings, stream(world.settings.seed, "table")
    n, bank = len(rows), world.customers.bank[rows.customer]
    country = world.terminals.country[rows.terminal]
    category = np.where(rng.random(n) < world.banks.missing_category[bank], -1, world.terminals.category[rows.terminal])
    device = np.where(rng.random(n) < world.banks.missing_device[bank], -1, rows.device)
    seconds = np.floor(rows.day * DAY_SECONDS).astype("timedelta64[s]")
    return pd.DataFrame(
        {
            "transaction_id": np.arange(n, dtype=np.int64),
            "time": (np.datetime64(settings.start, "s") + seconds).astype("datetime64[ns]"),
            "bank": _strings([f"bank-{i}" for i in range(settings.banks)], bank),
            "customer": _labels("C", rng, rows.customer, settings.customers),
            "terminal": _labels("T", rng, rows.terminal, settings.terminals),
            "amount": np.maximum(0.01, np.round(rows.amount, 2)),
            "channel": _categories(CHANNELS, rows.channel),
            "merchant_category": _categories(CATEGORY_NAMES, category),
            "country": _categories((HOME_COUNTRY, *FOREIGN_COUNTRIES), country),
            "abroad": country > 0,
            "device": _labels("D", rng, device, int(rows.device.max(initial=0)) + 1),
            "fraud": (rows.typology >= 0).astype(np.int8),
            "fraud_type": _strings(TYPOLOGY_NAMES, rows.typology),
            "reported_after_days": _report_days(rng, rows.typology),
        }
    )


def simulate(settings: SimulationSettings) -> Simulation:
    """Simulate the transactions of all banks; the same settings give the same table.

    Args:
        settings: Size, length and seed.

    Returns:
        The simulation, its transactions sorted by time.
    """
    world = build_world(settings, len(TYPOLOGIES))
    real = genuine(world)
    rows = concatenate([real, frauds(world, real)])
    return Simulation(settings, _table(world, rows.take(np.argsort(rows.day, kind="stable"))))
