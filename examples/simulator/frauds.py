"""The frauds: one function for each typology, and all of them together."""

from collections.abc import Callable
from typing import Final

import numpy as np

from examples.simulator.traffic import (
    CONTACTLESS_LIMIT,
    DEVICES_PER_CUSTOMER,
    NO_DEVICE,
    Rows,
    concatenate,
    draw_amounts,
    own_devices,
    time_of_day,
)
from examples.simulator.vocabulary import CHIP, CONTACTLESS, ONLINE, PHONE, TYPOLOGIES, TYPOLOGY_NAMES
from examples.simulator.world import Ints, World, stream

Generator = np.random.Generator

#: Frauds for each genuine payment at a compromised terminal.
COPIES: Final = 0.9
#: Payments a day below which a terminal is not worth compromising.
QUIET: Final = 0.1


def _victims(rng: Generator, world: World, typology: int, n: int) -> Ints:
    """Customers, the active ones of the exposed banks more often; shape (n,)."""
    weight = world.customers.activity * world.banks.exposure[world.customers.bank, typology]
    return np.asarray(rng.choice(len(weight), n, p=weight / weight.sum()), dtype=np.int64)


def _within(world: World, rows: Rows) -> Rows:
    """The rows that fall into the simulated days."""
    return rows.take((rows.day >= 0) & (rows.day < world.settings.days))


def _bursts(rng: Generator, target: float, mean_size: float) -> Ints:
    """The index of the campaign that each fraud belongs to; sizes are one plus Poisson."""
    campaigns = max(1, round(target / mean_size))
    return np.repeat(np.arange(campaigns), 1 + rng.poisson(mean_size - 1.0, campaigns))


def _new_devices(world: World, number: Ints) -> Ints:
    """Devices that no customer has; each typology counts from a number of its own."""
    return world.settings.customers * DEVICES_PER_CUSTOMER + number


def compromised_terminal(world: World, genuine: Rows, target: float, typology: int) -> Rows:
    """Terminals that copy or overcharge cards for some weeks, whichever bank the card is from.

    A fraud looks like the genuine payments at the same terminal, in amount, channel, hour and customer: what gives it
    away is what was reported there before. Every bank sees a few of them; only all banks together see most.
    """
    rng = stream(world.settings.seed, "compromised_terminal")
    days = world.settings.days
    # The private accounts are not terminals that can be tampered with.
    per_day = np.bincount(genuine.terminal, minlength=world.settings.terminals) / days
    per_day = per_day[: world.terminals.bounds[world.terminals.accounts]]
    # A weighted order (Efraimidis and Spirakis, 2006): quiet terminals, which nobody watches, come early.
    key = rng.exponential(1.0, len(per_day)) * (0.3 + per_day) ** 4
    candidates = np.argsort(np.where(per_day > QUIET, key, np.inf), kind="stable")
    length = rng.uniform(20.0, 45.0, len(candidates))
    start = rng.uniform(-10.0, days, len(candidates))
    expected = COPIES * per_day[candidates] * np.maximum(0.0, np.minimum(start + length, days) - np.maximum(start, 0.0))
    chosen = candidates[: 1 + np.searchsorted(np.cumsum(expected), target)]
    begin, end = np.full((2, world.settings.terminals), np.inf)
    begin[chosen], end[chosen] = start[: len(chosen)], (start + length)[: len(chosen)]
    hit = (genuine.day >= begin[genuine.terminal]) & (genuine.day < end[genuine.terminal])
    model = genuine.take(np.flatnonzero(hit & (rng.random(len(genuine)) < COPIES)))
    # The card is that of another payment there, so that the customer is one who shops there.
    n = len(model)
    other = np.argsort(model.terminal + rng.random(n), kind="stable")
    card = np.empty(n, dtype=np.int64)
    card[np.argsort(model.terminal, kind="stable")] = model.customer[other]
    day = np.floor(model.day) + rng.integers(0, 3, n) + time_of_day(rng, n)
    amount = model.amount * rng.uniform(0.9, 1.5, n)
    device = np.where(model.channel == ONLINE, own_devices(rng, world, card, day), NO_DEVICE)
    return _within(world, Rows(day, card, model.terminal, model.channel, device, amount, np.full(len(day), typology)))


def stolen_card(world: World, _genuine: Rows, target: float, typology: int) -> Rows:
    """A lost or stolen card used a few times within a day or two, often far from home, for more than usual."""
    rng = stream(world.settings.seed, "stolen_card")
    of = _bursts(rng, target, 4.0)
    n, campaigns = len(of), of[-1] + 1
    customer = _victims(rng, world, typology, campaigns)[of]
    day = rng.uniform(0, world.settings.days, campaigns)[of] + rng.exponential(0.6, n)
    away = np.where(rng.random(campaigns) < 0.35, world.terminals.abroad, -1)
    other = rng.integers(0, world.terminals.regions, campaigns)
    away = np.where((away < 0) & (rng.random(campaigns) < 0.5), other, away)[of]
    group = np.where(away < 0, world.customers.region[customer], away)
    terminal = world.terminals.draw(rng, group)
    amount = draw_amounts(rng, world, customer, terminal, day) * rng.uniform(1.2, 3.5, n)
    channel = np.where(amount < CONTACTLESS_LIMIT, CONTACTLESS, CHIP)
    device = np.full(n, NO_DEVICE)
    return _within(world, Rows(day, customer, terminal, channel, device, amount, np.full(len(day), typology)))


def account_takeover(world: World, _genuine: Rows, target: float, typology: int) -> Rows:
    """A fraudster in the customer's online account, on a device that also empties other customers' accounts."""
    rng = stream(world.settings.seed, "account_takeover")
    of = _bursts(rng, target, 3.0)
    n, campaigns = len(of), of[-1] + 1
    customer = _victims(rng, world, typology, campaigns)[of]
    # One device serves about six victims, of whichever bank, within a fortnight.
    pool = max(1, campaigns // 6)
    number = rng.integers(0, pool, campaigns)
    start = rng.uniform(-14.0, world.settings.days, pool)[number] + rng.uniform(0, 14.0, campaigns)
    day = start[of] + rng.exponential(0.3, n)
    group = np.where(rng.random(n) < 0.5, world.terminals.accounts, world.terminals.online)
    terminal = world.terminals.draw(rng, group)
    amount = draw_amounts(rng, world, customer, terminal, day) * rng.uniform(1.3, 3.5, n)
    device = _new_devices(world, 2 * number[of])
    channel = np.full(n, ONLINE)
    return _within(world, Rows(day, customer, terminal, channel, device, amount, np.full(len(day), typology)))


def card_testing(world: World, _genuine: Rows, target: float, typology: int) -> Rows:
    """Stolen card numbers tried out with tiny payments at one online merchant within hours, mostly one bank's cards."""
    rng = stream(world.settings.seed, "card_testing")
    of = _bursts(rng, target, 20.0)
    n, campaigns = len(of), of[-1] + 1
    terminals = world.terminals
    merchant = terminals.draw_evenly(rng, np.full(campaigns, terminals.online))[of]
    # The numbers come from one bank's range; draw again a few times until the card is of the bank of the first.
    customer = _victims(rng, world, typology, n)
    bank = world.customers.bank[customer][np.searchsorted(of, of)]
    for _ in range(4):
        again = (world.customers.bank[customer] != bank) & (rng.random(n) < 0.8)
        customer = np.where(again, _victims(rng, world, typology, n), customer)
    day = rng.uniform(0, world.settings.days, campaigns)[of] + rng.uniform(0, 0.25, n)
    amount = rng.uniform(0.5, 6.0, n)
    device = np.where(rng.random(n) < 0.6, _new_devices(world, 2 * of + 1), own_devices(rng, world, customer, day))
    channel = np.full(n, ONLINE)
    return _within(world, Rows(day, customer, merchant, channel, device, amount, np.full(len(day), typology)))


def mule(world: World, _genuine: Rows, target: float, typology: int) -> Rows:
    """Victims of several banks are talked into paying one private account, from their own devices, for some days."""
    rng = stream(world.settings.seed, "mule")
    of = _bursts(rng, target, 14.0)
    n, campaigns = len(of), of[-1] + 1
    terminals = world.terminals
    account = terminals.draw_evenly(rng, np.full(campaigns, terminals.accounts))[of]
    customer = _victims(rng, world, typology, n)
    start = rng.uniform(-5.0, world.settings.days, campaigns)
    day = np.floor(start[of] + rng.random(n) * rng.uniform(5.0, 30.0, campaigns)[of]) + time_of_day(rng, n)
    amount = 260.0 * np.exp(0.9 * rng.standard_normal(n)) * np.sqrt(world.customers.spending[customer])
    channel = np.where(rng.random(n) < 0.10, PHONE, ONLINE)
    device = np.where(channel == ONLINE, own_devices(rng, world, customer, day), NO_DEVICE)
    return _within(world, Rows(day, customer, account, channel, device, amount, np.full(len(day), typology)))


def phone_order(world: World, _genuine: Rows, target: float, typology: int) -> Rows:
    """Orders by telephone with card data got by pretence: unknown at first, then at one bank, then at the others."""
    rng = stream(world.settings.seed, "phone_order")
    days, onset = world.settings.days, world.banks.onset
    # The number aimed at is drawn over all banks and the time that each has left.
    n = max(1, rng.poisson(target))
    customer = _victims(rng, world, typology, 4 * n)
    bank = world.customers.bank[customer]
    kept = np.flatnonzero(rng.random(4 * n) < (1.0 - onset[bank]) / (1.0 - onset.min()))[:n]
    customer, bank = customer[kept], bank[kept]
    n = len(kept)
    begin = onset[bank] * days
    day = np.floor(begin + rng.random(n) * (days - begin)) + time_of_day(rng, n)
    terminal = world.terminals.draw(rng, np.full(n, world.terminals.online))
    amount = 180.0 * np.exp(0.6 * rng.standard_normal(n))
    channel, device = np.full(n, PHONE), np.full(n, NO_DEVICE)
    return _within(world, Rows(day, customer, terminal, channel, device, amount, np.full(len(day), typology)))


_TYPOLOGIES: Final[dict[str, Callable[[World, Rows, float, int], Rows]]] = {
    "compromised_terminal": compromised_terminal,
    "stolen_card": stolen_card,
    "account_takeover": account_takeover,
    "card_testing": card_testing,
    "mule": mule,
    "phone_order": phone_order,
}


def frauds(world: World, genuine: Rows) -> Rows:
    """All frauds beside the given genuine transactions, as many as the settings aim at; none at a rate of zero."""
    total = world.settings.fraud_rate * len(genuine)
    if total == 0:
        return genuine.take(np.empty(0, dtype=np.int64))
    return concatenate(
        [
            _TYPOLOGIES[name](world, genuine, TYPOLOGIES[name].weight * total, index)
            for index, name in enumerate(TYPOLOGY_NAMES)
        ]
    )
