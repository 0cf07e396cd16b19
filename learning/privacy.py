"""Record-level differential privacy of sums: clipping, noise that the banks add together, and what it costs.

Every bank adds its part of the noise before encryption, so that the sum carries the noise and nobody knows it
(distributed noise: Dwork, Kenthapadi, McSherry, Mironov and Naor, Eurocrypt 2006). Neighbouring data sets differ in one
record of one bank that is *blanked*: it adds nothing to any sum, and every other record adds what it did. (Taking its
row out of the table is something else: a split by row would then give later rows other parts.) So what a sum's
sensitivity bounds is what one record adds to it, and features that are derived from several records have no place in a
plan with noise: blanking one of those would change what the others add.

Parts. Of the banks whose contributions a round sums, at least `minimum` contribute and at most `colluders` of them
subtract their own noise again. The other `honest` = minimum - colluders banks alone must reach the plan's variance, so
each adds ``sigma**2 / honest``: a bank that drops out after the noise was planned, as long as the minimum is
kept, leaves enough, and when all answer there is more.

The grid. Sums are integers, in units of a query's resolution, and so is the noise: discrete Gaussian (Canonne, Kamath
and Steinke, NeurIPS 2020). Two effects, both small and both accounted for here:

- Rounding a bank's vector of d entries to the grid moves it by at most half a unit each, so two neighbouring vectors
  differ by up to ``resolution * sqrt(d)`` more than before rounding: `grid_sensitivity`.
- A sum of discrete Gaussians is not quite a discrete Gaussian: `sum_divergence` bounds how far it is (Kairouz, Liu
  and Steinke, ICML 2021, Proposition 1). For parts of 4 units or more it is below 1e-60, which no accountant notices.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.errors import BudgetExceeded, DataRejected

#: Returns that many bytes of cryptographic randomness: ``os.urandom`` at a bank.
RandBytes = Callable[[int], bytes]


def clip_records(rows: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    """Scales every record's vector down to an Euclidean norm of at most `norm`.

    Args:
        rows: float64, shape (n_records, d), what each record adds to the sum.
        norm: positive; the sensitivity of the sum to one record.

    Returns:
        A new array of the same shape.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    scale = np.minimum(1.0, norm / np.maximum(lengths, np.finfo(np.float64).tiny))
    return np.asarray(rows * scale[:, None], dtype=np.float64)


def bank_sigma(sigma: float, honest: int) -> float:
    """Standard deviation of one bank's part, of which `honest` parts reach a variance of ``sigma**2``."""
    if honest < 1:
        raise ValueError(f"honest: at least one bank's noise must remain, got {honest}")
    return sigma / math.sqrt(honest)


def grid_sensitivity(norm: float, length: int, resolution: float) -> float:
    """Sensitivity of a sum whose banks round their vectors of `length` entries to the grid (this module, the grid)."""
    return norm + resolution * math.sqrt(length)


def sum_divergence(part: float, banks: int) -> float:
    """How far the sum of `banks` discrete Gaussians of standard deviation `part` units is from one discrete Gaussian.

    Returns:
        tau of Kairouz, Liu and Steinke (ICML 2021, v3, Proposition 1): the log-ratio's bound, per coordinate.
    """
    return 10.0 * sum(math.exp(-2.0 * math.pi**2 * part**2 * k / (k + 1)) for k in range(1, banks))


def discrete_gaussian(sigma: float, shape: tuple[int, ...], randbytes: RandBytes) -> NDArray[np.int64]:
    """Independent discrete Gaussian integers: P(k) proportional to ``exp(-k**2 / (2 sigma**2))``.

    Rejection from a two-sided geometric distribution (Canonne, Kamath and Steinke 2020, algorithm 3), in double
    precision: an integer's probability is a whole number of steps of 2^-53 in the uniform that it comes from (finer in
    the tail), hence right to a relative ``sigma * 2**-53``: 2^-27 for a sigma of 2^26 units.

    Args:
        sigma: standard deviation in units of the grid, at most 2**40; 0 gives zeros.
        shape: of the result.
        randbytes: source of cryptographic randomness.
    """
    if not 0 <= sigma <= 2.0**40:
        raise ValueError(f"sigma: expected 0 to 2**40 units of the grid, got {sigma}")
    count = math.prod(shape)
    if sigma == 0 or count == 0:
        return np.zeros(shape, dtype=np.int64)
    parts: list[NDArray[np.int64]] = []
    missing = count
    while missing > 0:
        accepted = _candidates(sigma, int(missing * 1.6) + 16, randbytes)[:missing]
        parts.append(accepted)
        missing -= len(accepted)
    return np.concatenate(parts).reshape(shape)


def _candidates(sigma: float, count: int, randbytes: RandBytes) -> NDArray[np.int64]:
    """The accepted ones of `count` two-sided geometric candidates with parameter t = floor(sigma) + 1."""
    t = math.floor(sigma) + 1
    bits = np.frombuffer(randbytes(24 * count), dtype="<u8").reshape(3, count)
    # (bits + 1/2) / 2^53 lies strictly between 0 and 1, so the logarithms are finite.
    whole = (bits >> np.uint64(11)).astype(np.float64)
    # The tail comes from small uniforms: they get 53 more bits, of which large ones have no use.
    uniform = (whole[0] + (whole[2] + 0.5) * 2.0**-53) * 2.0**-53
    size = np.floor(-t * np.log(uniform))
    negative = (bits[2] & np.uint64(1)).astype(bool)  # the lowest bit is not among those 53
    keep = ~(negative & (size == 0))  # zero has one sign, or it would be twice as likely
    keep &= np.log((whole[1] + 0.5) * 2.0**-53) < -((size - sigma**2 / t) ** 2) / (2.0 * sigma**2)
    signed: NDArray[np.float64] = np.where(negative, -size, size)[keep]
    return signed.astype(np.int64)


def bank_noise(sigma: float, honest: int, length: int, resolution: float, randbytes: RandBytes) -> NDArray[np.float64]:
    """One bank's noise for one contribution: multiples of the query's resolution.

    Args:
        sigma: standard deviation that the sum must have, in the sum's own unit.
        honest: banks whose parts alone must reach it.
        length: entries.
        resolution: of the query.
        randbytes: source of cryptographic randomness.

    Returns:
        float64, shape (length,).
    """
    units = bank_sigma(sigma, honest) / resolution
    return discrete_gaussian(units, (length,), randbytes).astype(np.float64) * resolution


@dataclass(frozen=True, slots=True)
class GaussianRounds:
    """What a training spends: `rounds` sums with Gaussian noise of `noise_multiplier` times the sensitivity."""

    noise_multiplier: float
    rounds: int

    def dp_event(self) -> Any:
        """The same as a `dp_accounting.DpEvent`."""
        import dp_accounting  # noqa: PLC0415  # heavy, and only accounting needs it

        return dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(self.noise_multiplier), self.rounds)


def epsilon(spent: tuple[GaussianRounds, ...], delta: float) -> float:
    """Epsilon at `delta` of several trainings on the same records, by dp-accounting's tight accountant."""
    import dp_accounting  # noqa: PLC0415  # heavy, and only accounting needs it

    if not spent:
        return 0.0
    if any(item.noise_multiplier == 0 for item in spent):
        return math.inf
    # Gaussians compose into one (Dong, Roth and Su, JRSS B 2022, corollary 3.3): squares of 1/multiplier add up.
    total = math.sqrt(1.0 / sum(item.rounds / item.noise_multiplier**2 for item in spent))
    return float(dp_accounting.get_epsilon_gaussian(total, delta))


def noise_multiplier_for(target_epsilon: float, delta: float, rounds: int) -> float:
    """The least noise multiplier a round with which `rounds` rounds cost at most `target_epsilon` at `delta`.

    Raises:
        ValueError: the target cannot be met (epsilon or delta not positive, no round).
    """
    import dp_accounting  # noqa: PLC0415  # heavy, and only accounting needs it

    if not (target_epsilon > 0 and 0 < delta < 1 and rounds >= 1):
        raise ValueError("epsilon: expected epsilon > 0, 0 < delta < 1 and at least one round")
    return float(dp_accounting.get_sigma_gaussian(target_epsilon, delta)) * math.sqrt(rounds)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of a bank's privacy ledger; `spent` is None for a training without noise, which no epsilon bounds."""

    purpose: str
    spent: GaussianRounds | None


@dataclass(frozen=True, slots=True)
class PrivacyLedger:
    """What a bank has spent on one data set, and what it will spend at most. A value: `spend` returns a new one.

    Attributes:
        budget: the largest epsilon; infinite without a budget.
        delta: at which epsilon is stated.
        entries: what was spent, oldest first; all of them on the same records (the worst case).
    """

    budget: float
    delta: float
    entries: tuple[LedgerEntry, ...] = ()

    def epsilon(self) -> float:
        """Epsilon spent so far; infinite after a training without noise."""
        return self._epsilon(self.entries)

    def epsilon_after(self, spent: GaussianRounds | None) -> float:
        """Epsilon if `spent` were spent as well."""
        return self._epsilon((*self.entries, LedgerEntry("", spent)))

    def _epsilon(self, entries: tuple[LedgerEntry, ...]) -> float:
        noised = tuple(entry.spent for entry in entries if entry.spent is not None)
        return epsilon(noised, self.delta) if len(noised) == len(entries) else math.inf

    @property
    def without_noise(self) -> tuple[str, ...]:
        """What was done without noise."""
        return tuple(entry.purpose for entry in self.entries if entry.spent is None)

    def of_noise(self) -> PrivacyLedger:
        """The ledger of what was done with noise alone."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.spent is not None))

    def would_exceed(self, spent: GaussianRounds) -> bool:
        """Whether `spent` does not fit into the budget any more."""
        return self.epsilon_after(spent) > self.budget

    def spend(self, purpose: str, spent: GaussianRounds) -> PrivacyLedger:
        """The ledger with one more line.

        Raises:
            BudgetExceeded: it does not fit; nothing changes.
        """
        after = self.epsilon_after(spent)
        if after > self.budget:
            raise BudgetExceeded(purpose, budget=self.budget, would_be=after)
        return self.record(purpose, spent)

    def record(self, purpose: str, spent: GaussianRounds | None) -> PrivacyLedger:
        """The ledger with one more line, whether it fits or not."""
        return replace(self, entries=(*self.entries, LedgerEntry(purpose, spent)))

    def to_json(self) -> str:
        """The ledger as JSON, to be stored by the bank. JSON has no infinity: what is unbounded is null there."""
        entries = [
            {"noise_multiplier": None, "purpose": entry.purpose, "rounds": None}
            if entry.spent is None
            else {"noise_multiplier": entry.spent.noise_multiplier, "purpose": entry.purpose,
                  "rounds": entry.spent.rounds}
            for entry in self.entries
        ]  # fmt: skip
        budget = self.budget if math.isfinite(self.budget) else None
        document = {"budget": budget, "delta": self.delta, "entries": entries}
        return json.dumps(document, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> PrivacyLedger:
        """Reads `to_json`'s text.

        Raises:
            DataRejected: it is not such a text.
        """
        try:
            document = json.loads(text)
            entries = tuple(LedgerEntry(str(entry["purpose"]), _spent(entry)) for entry in document["entries"])
            budget = math.inf if document["budget"] is None else float(document["budget"])
            return cls(budget=budget, delta=float(document["delta"]), entries=entries)
        except (ValueError, KeyError, TypeError) as error:
            raise DataRejected("ledger", expected="a privacy ledger", got=type(error).__name__) from error


def _spent(entry: dict[str, Any]) -> GaussianRounds | None:
    if entry["noise_multiplier"] is None:
        return None
    return GaussianRounds(float(entry["noise_multiplier"]), int(entry["rounds"]))
