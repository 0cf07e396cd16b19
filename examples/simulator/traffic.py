"""The genuine transactions."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from examples.simulator.vocabulary import CHIP, CONTACTLESS, MEDIAN_AMOUNT, ONLINE, PHONE, SIGMA_AMOUNT
from examples.simulator.world import (
    FAVOURITE_ACCOUNTS,
    FAVOURITE_ONLINE,
    FAVOURITE_SHOPS,
    Floats,
    Ints,
    World,
    stream,
)

Bools = NDArray[np.bool_]

DAY_SECONDS = 86_400
NO_DEVICE = -1
DEVICES_PER_CUSTOMER = 3
CONTACTLESS_LIMIT = 50.0
#: Spending grows by this share in a day: about a fifth in four months.
DAILY_GROWTH = 0.0015
#: Monday to Sunday.
WEEKDAY = np.array([0.90, 0.92, 0.95, 1.00, 1.20, 1.25, 0.78])


@dataclass(frozen=True)
class Rows:
    """Transactions, one array entry for each.

    Attributes:
        day: float64, days since the start, with the time of day as its fraction.
        customer, terminal, channel, device: int64, indices; the device is −1 where there is none.
        amount: float64, euro.
        typology: int64, −1 for genuine transactions, else the typology's index.
    """

    day: Floats
    customer: Ints
    terminal: Ints
    channel: Ints
    device: Ints
    amount: Floats
    typology: Ints

    def __len__(self) -> int:
        return len(self.day)

    def take(self, at: Ints | Bools) -> "Rows":
        """The rows at indices, or where a mask is true."""
        return Rows(**{f.name: getattr(self, f.name)[at] for f in fields(self)})


def concatenate(parts: list[Rows]) -> Rows:
    """All parts' rows, one part after the other."""
    return Rows(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)})


def time_of_day(rng: np.random.Generator, n: int) -> Floats:
    """Fractions of a day: peaks around noon and early evening, few at night; float64 of shape (n,)."""
    kind = rng.random(n)
    hour = np.where(kind < 0.45, rng.normal(12.5, 2.2, n), rng.normal(18.0, 2.0, n))
    return np.asarray(np.where(kind > 0.92, rng.uniform(0, 24, n), hour) % 24.0 / 24.0, dtype=np.float64)


def draw_amounts(rng: np.random.Generator, world: World, customer: Ints, terminal: Ints, day: Floats) -> Floats:
    """Lognormal around the category's median, times the customer's and the economy's factor; euro, float64."""
    category = world.terminals.category[terminal]
    noise = np.exp(SIGMA_AMOUNT[category] * rng.standard_normal(len(day)))
    growth = 1.0 + DAILY_GROWTH * day
    return np.asarray(MEDIAN_AMOUNT[category] * noise * world.customers.spending[customer] * growth, dtype=np.float64)


def own_devices(rng: np.random.Generator, world: World, customer: Ints, day: Floats) -> Ints:
    """The device that each customer uses on that day: the usual one, its successor, or now and then a second one."""
    kind = (day >= world.customers.new_device[customer]).astype(np.int64)
    kind = np.where(rng.random(len(day)) < 0.12, 2, kind)
    return np.asarray(customer * DEVICES_PER_CUSTOMER + kind, dtype=np.int64)


def card_channels(rng: np.random.Generator, world: World, customer: Ints, amount: Floats) -> Ints:
    """Chip or contactless at a shop's terminal, as the bank's customers are used to."""
    likely = world.banks.contactless[world.customers.bank[customer]]
    touch = (amount < CONTACTLESS_LIMIT) & (rng.random(len(amount)) < likely)
    return np.where(touch, CONTACTLESS, CHIP).astype(np.int64)


def _times(rng: np.random.Generator, world: World) -> tuple[Ints, Floats]:
    """Each transaction's customer, and its day with the time of day as the fraction."""
    days = world.settings.days
    weight = WEEKDAY[(world.settings.start.weekday() + np.arange(days)) % 7]
    counts = rng.poisson(world.customers.activity * weight.sum())
    customer = np.repeat(np.arange(len(counts)), counts)
    day = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(len(customer)), side="right")
    return customer, np.minimum(day, days - 1) + time_of_day(rng, len(customer))


def _places(rng: np.random.Generator, world: World, customer: Ints, day: Floats) -> Ints:
    """Each transaction's terminal: mostly a favourite of the customer's, else by popularity where the customer is."""
    people, terminals, n = world.customers, world.terminals, len(customer)
    kind = rng.random(n)
    transfer = kind < 0.05
    online = ~transfer & (kind < 0.05 + 0.95 * people.online[customer])
    away = ~transfer & ~online & (day >= people.trip_start[customer]) & (day < people.trip_end[customer])
    other = rng.integers(0, terminals.regions, n)
    group = np.where(rng.random(n) < 0.06, other, people.region[customer])
    group = np.select([transfer, online, away], [terminals.accounts, terminals.online, terminals.abroad], group)
    first = np.select([transfer, online], [FAVOURITE_SHOPS + FAVOURITE_ONLINE, FAVOURITE_SHOPS], 0)
    width = np.select([transfer, online], [FAVOURITE_ACCOUNTS, FAVOURITE_ONLINE], FAVOURITE_SHOPS)
    favourite = people.favourites[customer, first + (rng.random(n) * width).astype(np.int64)]
    habit = ~away & (rng.random(n) < 0.6)
    return np.where(habit, favourite, terminals.draw(rng, group)).astype(np.int64)


def genuine(world: World) -> Rows:
    """Draw all genuine transactions.

    Numbers are Poisson around each customer's own gamma-distributed rate (le Borgne et al., Fraud Detection Handbook,
    chapter 3, section 2, with a gamma instead of a uniform rate); they are not in order of time.
    """
    rng = stream(world.settings.seed, "genuine")
    customer, day = _times(rng, world)
    terminal = _places(rng, world, customer, day)
    amount = draw_amounts(rng, world, customer, terminal, day)
    at_shop = terminal < world.terminals.bounds[world.terminals.online]
    distant = np.where(rng.random(len(day)) < 0.04, PHONE, ONLINE)
    channel = np.where(at_shop, card_channels(rng, world, customer, amount), distant).astype(np.int64)
    device = np.where(channel == ONLINE, own_devices(rng, world, customer, day), NO_DEVICE).astype(np.int64)
    return Rows(day, customer, terminal, channel, device, amount, np.full(len(day), -1, dtype=np.int64))
