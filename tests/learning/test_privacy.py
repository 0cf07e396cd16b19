"""What the noise costs and how much there is of it, against formulas that share nothing with the product's.

Statistical tests have fixed seeds; the probability that a right sampler would fail one under another seed is stated.
"""

import math

import dp_accounting
import numpy as np
import pytest
from scipy import stats

from learning.errors import BudgetExceeded, DataRejected
from learning.noise_plan import multiplier_of, noise_plan
from learning.privacy import (
    GaussianRounds,
    PrivacyLedger,
    bank_noise,
    bank_sigma,
    clip_records,
    discrete_gaussian,
    epsilon,
    grid_sensitivity,
    noise_multiplier_for,
    sum_divergence,
)
from learning.random_trees import RandomTrees
from learning.random_trees_settings import PrivacySettings, RandomTreesSettings
from learning.schema import FeatureSchema, NumericFeature


def stream(seed):
    """A seeded stand-in for the operating system's randomness: the bytes of a counter-based generator."""
    return np.random.Generator(np.random.Philox(key=seed)).bytes


def delta_of(sigma, eps):
    """Balle and Wang, ICML 2018, theorem 8, sensitivity 1: delta of one Gaussian release."""
    phi = stats.norm.cdf
    return phi(0.5 / sigma - eps * sigma) - math.exp(eps) * phi(-0.5 / sigma - eps * sigma)


def renyi_epsilon(rounds, delta):
    """Epsilon of Gaussian releases by Rényi divergences (Mironov 2017; converted by Canonne, Kamath, Steinke 2020)."""
    alphas = 1.0 + np.exp(np.linspace(math.log(1e-3), math.log(1e4), 4000))
    divergence = sum(item.rounds * alphas / (2 * item.noise_multiplier**2) for item in rounds)
    found = divergence + np.log1p(-1 / alphas) - (np.log(delta) + np.log(alphas)) / (alphas - 1)
    return float(found.min())


@pytest.mark.parametrize("delta", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.2, 50.0])
def test_epsilon_of_one_release_is_balle_and_wangs(sigma, delta):
    ours = epsilon((GaussianRounds(sigma, 1),), delta)
    assert delta_of(sigma, ours) == pytest.approx(delta, rel=1e-5)


@pytest.mark.parametrize("target", [0.1, 0.5, 1.0, 3.0, 8.0])
def test_the_noise_for_a_target_is_the_least_that_keeps_it(target):
    sigma = noise_multiplier_for(target, 1e-6, 1)
    assert delta_of(sigma, target) == pytest.approx(1e-6, rel=1e-5)
    assert delta_of(sigma * 0.999, target) > 1e-6
    assert noise_multiplier_for(target, 1e-6, 25) == pytest.approx(5 * sigma)


@pytest.mark.parametrize(
    "spent",
    [
        (GaussianRounds(5.0, 30),),
        (GaussianRounds(10.0, 1), GaussianRounds(3.0, 2), GaussianRounds(20.0, 100)),
        (GaussianRounds(0.8, 1), GaussianRounds(1.5, 3)),
    ],
)
def test_composition_lies_just_below_renyis_bound_and_on_the_loss_distributions_convolution(spent):
    ours, bound = epsilon(spent, 1e-6), renyi_epsilon(spent, 1e-6)
    assert 0.85 * bound < ours < bound
    accountant = dp_accounting.pld.PLDAccountant()
    for item in spent:
        accountant.compose(item.dp_event())
    assert ours == pytest.approx(accountant.get_epsilon(1e-6), rel=2e-3)


def test_nothing_spent_costs_nothing_and_no_noise_costs_everything():
    assert epsilon((), 1e-6) == 0
    assert epsilon((GaussianRounds(0.0, 1), GaussianRounds(5.0, 1)), 1e-6) == math.inf
    for bad in ((0.0, 1e-6, 1), (1.0, 0.0, 1), (1.0, 1.0, 1), (1.0, 1e-6, 0)):
        with pytest.raises(ValueError, match="epsilon"):
            noise_multiplier_for(*bad)


@pytest.mark.parametrize("sigma", [0.4, 1.3, 6.0])
def test_discrete_gaussian_has_its_probabilities(sigma):
    """Chi-squared over the integers that are expected 20 times or more; false alarm 1e-6."""
    n, reach = 200_000, 60
    drawn = discrete_gaussian(sigma, (n,), stream(11))
    k = np.arange(-reach, reach + 1)
    weight = np.exp(-(k**2) / (2 * sigma**2))
    expected = n * weight / weight.sum()
    seen = np.bincount(drawn + reach, minlength=len(k))
    often = expected >= 20
    folded_seen = np.append(seen[often], seen[~often].sum())
    folded_expected = np.append(expected[often], max(expected[~often].sum(), 1e-9))
    if folded_expected[-1] < 5:
        folded_seen, folded_expected = folded_seen[:-1], folded_expected[:-1]
    statistic = ((folded_seen - folded_expected) ** 2 / folded_expected).sum()
    assert statistic < stats.chi2.ppf(1 - 1e-6, len(folded_seen))


@pytest.mark.parametrize("sigma", [2.0**12, 2.0**26, 2.0**39])
def test_wide_discrete_gaussian_is_a_gaussian(sigma):
    """Kolmogorov and Smirnov's test, and the spread of the extremes; false alarm 1e-6 each."""
    drawn = discrete_gaussian(sigma, (100_000,), stream(5)) / sigma
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    assert 3.0 < np.abs(drawn).max() < 7.0
    assert drawn.var() == pytest.approx(1.0, abs=4.9 * math.sqrt(2 / 1e5))


def test_discrete_gaussian_takes_zero_and_refuses_what_it_cannot_draw():
    assert not discrete_gaussian(0.0, (3, 2), stream(1)).any()
    assert discrete_gaussian(3.0, (0,), stream(1)).shape == (0,)
    for bad in (-1.0, math.nan, 2.0**41):
        with pytest.raises(ValueError, match="sigma"):
            discrete_gaussian(bad, (3,), stream(1))
    with pytest.raises(ValueError, match="honest"):
        bank_sigma(1.0, 0)


@pytest.mark.parametrize(("answering", "factor"), [(3, 1.0), (4, 4 / 3), (5, 5 / 3)])
def test_noise_of_the_sum_is_the_plans_when_the_fewest_banks_answer_and_more_when_more_do(answering, factor):
    """Planned for five banks, of which three must answer; two-sided chi-squared with false alarm 1e-6."""
    sigma, length = 7.5, 40_000
    parts = [bank_noise(sigma, 3, length, 2.0**-10, stream(100 + bank)) for bank in range(answering)]
    statistic = (np.sum(parts, axis=0) ** 2).sum() / (factor * sigma**2)
    assert stats.chi2.ppf(5e-7, length) < statistic < stats.chi2.ppf(1 - 5e-7, length)


def test_noise_lies_on_the_grid_and_differs_from_bank_to_bank():
    one, two = (bank_noise(3.0, 2, 1000, 2.0**-6, stream(seed)) for seed in (1, 2))
    assert np.array_equal(one * 64, np.rint(one * 64))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.16  # false alarm 4e-7


def test_a_sum_of_discrete_gaussians_is_as_good_as_one_for_every_plan_that_is_allowed():
    assert sum_divergence(4.0, 100) < 1e-60
    assert sum_divergence(0.5, 2) > 1e-3
    inputs = FeatureSchema(features=(NumericFeature(name="a", low=0, high=1),), label="y")
    for max_rows in (1, 1 << 24, 1 << 32):
        loud = PrivacySettings(noise_multiplier=0.05, noise_banks=100)
        algorithm = RandomTrees(RandomTreesSettings(inputs=inputs, privacy=loud, max_rows=max_rows, trees_a_round=1))
        query = algorithm.next_query(algorithm.start())
        assert query.sum_bits <= 44
        assert bank_sigma(algorithm.noise.sigma("count", 1.0), 100) / query.resolution > 4


def test_clipping_keeps_short_records_and_shortens_long_ones():
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert np.allclose(clip_records(rows, 1.0), [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])
    assert grid_sensitivity(1.0, 400, 2.0**-4) == pytest.approx(1.0 + 20 / 16)


@pytest.mark.parametrize("target", [0.5, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("edges", ["declared", "sketched"])
def test_a_trainings_sums_cost_its_target_together(target, edges):
    inputs = FeatureSchema(features=(NumericFeature(name="a", low=0, high=1),), label="y")
    settings = RandomTreesSettings(inputs=inputs, edges=edges, trees=50, trees_a_round=8, privacy={"epsilon": target})
    noise = noise_plan(settings)
    training = [noise.shares["count"], noise.shares["sketch"], *[noise.shares["leaves"]] * settings.batches]
    for shares in (training, [noise.shares[kind] for kind in ("count", "spread", "scores")]):
        rounds = [GaussianRounds(noise.sigma_of_share(share, 1.0), 1) for share in shares if share]
        total = 1 / math.sqrt(sum(1 / item.noise_multiplier**2 for item in rounds))
        assert delta_of(total, target) <= 1e-6
        assert delta_of(total, target * 0.99) > 1e-6
    assert noise.to_dict()["epsilon"] <= target + 1e-4


def test_a_plan_may_give_the_noise_itself():
    privacy = PrivacySettings(noise_multiplier=2.5, delta=1e-5)
    assert multiplier_of(privacy) == 2.5
    for both in ({}, {"epsilon": 1.0, "noise_multiplier": 2.0}):
        with pytest.raises(ValueError, match="one of both"):
            PrivacySettings.model_validate(both)


def test_the_ledger_adds_up_refuses_and_survives_its_own_text():
    ledger = PrivacyLedger(budget=3.0, delta=1e-6)
    one = GaussianRounds(noise_multiplier_for(2.0, 1e-6, 1), 1)
    ledger = ledger.spend("first", one)
    assert ledger.epsilon() == pytest.approx(2.0, rel=1e-6)
    assert 2.0 < ledger.epsilon_after(one) < 3.0  # less than twice: squares add up
    ledger = ledger.spend("second", one)
    assert ledger.would_exceed(one)
    with pytest.raises(BudgetExceeded, match="expected at most 3") as caught:
        ledger.spend("third", one)
    assert caught.value.would_be > 3.0
    assert PrivacyLedger.from_json(ledger.to_json()) == ledger
    for bad in ("", "{}", "[]", '{"budget": 1, "delta": 1, "entries": [{}]}'):
        with pytest.raises(DataRejected):
            PrivacyLedger.from_json(bad)
