"""Who pays and who is paid: the banks, their customers, and the terminals that all banks' customers share."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.simulator.settings import SimulationSettings
from examples.simulator.vocabulary import (
    CATEGORY_NAMES,
    FOREIGN_COUNTRIES,
    ONLINE_SHARE,
    SEGMENTS,
    SHOP_SHARE,
    TRANSFER,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FAVOURITE_SHOPS, FAVOURITE_ONLINE, FAVOURITE_ACCOUNTS = 10, 5, 3


def stream(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each part, so that a change to one part leaves the others' draws as they were."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


@dataclass(frozen=True)
class Banks:
    """How the banks differ; every array is float64 with one row for each bank.

    Attributes:
        share: Share of all customers, Zipf.
        contactless: Share of small card payments without the chip.
        missing_category: Probability that the export lacks a merchant category.
        missing_device: Probability that the export lacks an online payment's device.
        exposure: Relative number of victims, shape (banks, typologies).
        onset: When the late typology reaches the bank, as a share of the days.
    """

    share: Floats
    contactless: Floats
    missing_category: Floats
    missing_device: Floats
    exposure: Floats
    onset: Floats


@dataclass(frozen=True)
class Terminals:
    """Shops, online merchants and private accounts, ordered by group: regions' shops, shops abroad, online, accounts.

    Attributes:
        category: int64, index into the categories.
        country: int64, 0 for home, else 1 + the index of a foreign country.
        bounds: int64 of shape (groups + 1,): group g has the terminals bounds[g] … bounds[g + 1] − 1.
        cumulative: float64 of shape (terminals + 1,): cumulated popularity, from 0.
    """

    category: Ints
    country: Ints
    bounds: Ints
    cumulative: Floats

    @property
    def regions(self) -> int:
        """Number of home regions; the groups after them are abroad, online and accounts."""
        return len(self.bounds) - 4

    @property
    def abroad(self) -> int:
        """The group of the shops abroad."""
        return self.regions

    @property
    def online(self) -> int:
        """The group of the online merchants."""
        return self.regions + 1

    @property
    def accounts(self) -> int:
        """The group of the private accounts."""
        return self.regions + 2

    def draw(self, rng: np.random.Generator, group: Ints) -> Ints:
        """One terminal of each given group, by popularity; shape as `group`."""
        low, high = self.cumulative[self.bounds[group]], self.cumulative[self.bounds[group + 1]]
        at = np.searchsorted(self.cumulative, low + rng.random(group.shape) * (high - low), side="right") - 1
        # Rounding may land on the border itself, which belongs to the next group.
        return np.asarray(np.clip(at, self.bounds[group], self.bounds[group + 1] - 1), dtype=np.int64)

    def draw_evenly(self, rng: np.random.Generator, group: Ints) -> Ints:
        """One terminal of each given group, each as likely as the others."""
        low, high = self.bounds[group], self.bounds[group + 1]
        return np.asarray(low + (rng.random(group.shape) * (high - low)).astype(np.int64), dtype=np.int64)


@dataclass(frozen=True)
class Customers:
    """One row for each customer.

    Attributes:
        bank, region: int64, indices.
        activity: float64, genuine transactions in a day.
        spending: float64, factor on the amounts.
        online: float64, share of purchases made online.
        trip_start, trip_end: float64, days; a journey abroad, infinite when there is none.
        new_device: float64, the day on which the device is replaced; often after the simulation's end.
        favourites: int64 of shape (customers, shops + online + accounts): terminals visited again and again.
    """

    bank: Ints
    region: Ints
    activity: Floats
    spending: Floats
    online: Floats
    trip_start: Floats
    trip_end: Floats
    new_device: Floats
    favourites: Ints


@dataclass(frozen=True)
class World:
    """Everything that stands before the first transaction."""

    settings: SimulationSettings
    banks: Banks
    terminals: Terminals
    customers: Customers


def _banks(settings: SimulationSettings, typologies: int) -> Banks:
    rng, n = stream(settings.seed, "banks"), settings.banks
    share = 1.0 / np.arange(1, n + 1) ** 0.8
    order = rng.permutation(n)
    return Banks(
        share=share / share.sum(),
        contactless=rng.uniform(0.35, 0.85, n),
        missing_category=rng.uniform(0.0, 0.06, n),
        missing_device=rng.uniform(0.02, 0.20, n),
        exposure=rng.gamma(2.0, 0.5, (n, typologies)) + 0.05,
        onset=0.5 + 0.3 * order / max(1, n - 1),
    )


def _terminals(settings: SimulationSettings) -> Terminals:
    rng, n = stream(settings.seed, "terminals"), settings.terminals
    accounts, online, abroad = int(0.18 * n), int(0.22 * n), max(2, int(0.05 * n))
    shops = n - accounts - online - abroad
    regions = max(1, shops // 40)
    weight = 1.0 / np.arange(1, regions + 1) ** 0.6
    # Every region has a few shops; the rest go where people live.
    region = np.sort(
        np.concatenate(
            [
                np.arange(regions).repeat(3),
                rng.choice(regions, shops - 3 * regions, p=weight / weight.sum()),
            ]
        )
    )
    sizes = np.concatenate([np.bincount(region, minlength=regions), [abroad, online, accounts]])
    names = len(CATEGORY_NAMES)
    category = np.concatenate(
        [
            rng.choice(names, shops + abroad, p=SHOP_SHARE / SHOP_SHARE.sum()),
            rng.choice(names, online, p=ONLINE_SHARE / ONLINE_SHARE.sum()),
            np.full(accounts, TRANSFER),
        ]
    )
    foreign = rng.integers(1, 1 + len(FOREIGN_COUNTRIES), n)
    is_foreign = np.concatenate(
        [np.zeros(shops, bool), np.ones(abroad, bool), rng.random(online) < 0.2, rng.random(accounts) < 0.08]
    )
    popularity = rng.lognormal(0.0, 1.0, n)
    return Terminals(
        category=category.astype(np.int64),
        country=np.where(is_foreign, foreign, 0).astype(np.int64),
        bounds=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        cumulative=np.concatenate([[0.0], np.cumsum(popularity)]),
    )


def _customers(settings: SimulationSettings, banks: Banks, terminals: Terminals) -> Customers:
    rng, n = stream(settings.seed, "customers"), settings.customers
    # Each bank has a customer, however small its share.
    every = np.arange(settings.banks)[:n]
    bank = np.sort(np.concatenate([every, rng.choice(settings.banks, n - len(every), p=banks.share)]))
    segments = list(SEGMENTS.values())
    segment = _by_bank(rng, bank, settings.banks, len(segments), 1.5)
    region = _by_bank(rng, bank, settings.banks, terminals.regions, 2.0)
    mean_activity = np.array([s.activity for s in segments])[segment]
    online = np.array([s.online for s in segments])[segment]
    on_trip = rng.random(n) < np.array([s.trip for s in segments])[segment]
    trip_start = np.where(on_trip, rng.uniform(0, settings.days, n), np.inf)
    group = np.column_stack(
        [
            np.repeat(region[:, None], FAVOURITE_SHOPS, axis=1),
            np.full((n, FAVOURITE_ONLINE), terminals.online),
            np.full((n, FAVOURITE_ACCOUNTS), terminals.accounts),
        ]
    )
    return Customers(
        bank=bank.astype(np.int64),
        region=region,
        activity=settings.daily_transactions * mean_activity * rng.gamma(2.0, 0.5, n),
        spending=np.array([s.spending for s in segments])[segment] * rng.lognormal(0.0, 0.35, n),
        online=rng.beta(4 * online, 4 * (1 - online)),
        trip_start=trip_start,
        trip_end=trip_start + rng.uniform(4, 16, n),
        new_device=rng.uniform(0, 3.0 * settings.days, n),
        favourites=terminals.draw(rng, group),
    )


def _by_bank(rng: np.random.Generator, bank: Ints, banks: int, kinds: int, concentration: float) -> Ints:
    """A kind for each customer, from a mixture of its bank's own that is drawn from a Dirichlet distribution."""
    mixture = np.cumsum(rng.dirichlet(np.full(kinds, concentration), banks), axis=1)
    return np.asarray((rng.random(len(bank))[:, None] > mixture[bank, :-1]).sum(axis=1), dtype=np.int64)


def build_world(settings: SimulationSettings, typologies: int) -> World:
    """Draw the banks, terminals and customers.

    Args:
        settings: The simulation's settings.
        typologies: Number of fraud typologies, for the banks' exposure.
    """
    banks = _banks(settings, typologies)
    terminals = _terminals(settings)
    return World(settings, banks, terminals, _customers(settings, banks, terminals))
