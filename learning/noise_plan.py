"""How a training's noise is divided among its sums, so that all of them together cost what the plan says.

Sums with Gaussian noise compose like sums of squares: releases with noise multipliers z_1, z_2, … on the same records
cost what one release with ``1 / sqrt(1/z_1**2 + 1/z_2**2 + …)`` costs (Dong, Roth and Su, "Gaussian differential
privacy", JRSS B 2022, corollary 3.3), adaptive choices included. So a plan has one noise multiplier z for the whole
training, and every sum a *share* s of 1 / z**2: its own multiplier is ``z / sqrt(s)``. A record's shares add up to 1.

    a training row           count + sketch + leaves = 1
    a validation or test row count + spread + scores = 1

A record's cost is stated against the same rows with that record *blanked*: it adds nothing, and the other records add
what they did (`learning.privacy`). That holds where a record's features are its own. A customer's profile or a table of
entities that had no noise would carry one record into many others, so plans and banks refuse those beside noise.

Nobody's row is in both lines, which is why spread and scores cost nothing beside the leaves (parallel composition).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from learning.privacy import GaussianRounds, epsilon, noise_multiplier_for
from learning.random_trees_settings import PrivacySettings, RandomTreesSettings

#: Noise multipliers are rounded up to a multiple of this, so that all parties derive the same one from an epsilon.
_STEP = 2.0**-10
_COUNT_SHARE = 0.02
_SKETCH_SHARE = 0.13
_SPREAD_SHARE = 0.18


@dataclass(frozen=True, slots=True)
class NoisePlan:
    """The noise of one training.

    Attributes:
        multiplier: of the whole training.
        delta: at which epsilon is stated.
        banks: honest banks whose noise alone reaches the plan's.
        shares: by kind of sum, of 1 / multiplier**2; that of one sum of leaves.
    """

    multiplier: float
    delta: float
    banks: int
    shares: Mapping[str, float]

    def sigma(self, kind: str, sensitivity: float) -> float:
        """The standard deviation of the noise in every entry of a sum of this kind.

        Args:
            kind: "count", "sketch", "leaves", "spread" or "scores".
            sensitivity: Euclidean norm of the most that one record changes in the sum.
        """
        return self.sigma_of_share(self.shares[kind], sensitivity)

    def sigma_of_share(self, share: float, sensitivity: float) -> float:
        """The same for a share."""
        return self.multiplier / math.sqrt(share) * sensitivity

    @property
    def cost(self) -> GaussianRounds:
        """What one record pays for the whole training."""
        return GaussianRounds(self.multiplier, 1)

    def to_dict(self) -> dict[str, float | int | str]:
        """For the model and its card; epsilon is rounded up."""
        spent = epsilon((self.cost,), self.delta)
        return {
            "mechanism": "distributed discrete Gaussian",
            "neighbours": "one record of one bank blanked",
            "epsilon": math.ceil(spent * 1e4) / 1e4,
            "delta": self.delta,
            "noise_multiplier": self.multiplier,
            "noise_banks": self.banks,
        }


def multiplier_of(privacy: PrivacySettings) -> float:
    """The noise multiplier of a whole training: given, or the least that keeps epsilon, rounded up to 2**-10."""
    if privacy.noise_multiplier is not None:
        return privacy.noise_multiplier
    assert privacy.epsilon is not None
    return math.ceil(noise_multiplier_for(privacy.epsilon, privacy.delta, 1) / _STEP) * _STEP


def noise_plan(settings: RandomTreesSettings) -> NoisePlan | None:
    """The noise of a plan's training, or None for one without."""
    if settings.privacy is None:
        return None
    sketch = _SKETCH_SHARE if settings.edges == "sketched" else 0.0
    shares = {
        "count": _COUNT_SHARE,
        "sketch": sketch,
        "leaves": (1.0 - _COUNT_SHARE - sketch) / settings.batches,
        "spread": _SPREAD_SHARE,
        "scores": 1.0 - _COUNT_SHARE - _SPREAD_SHARE,
    }
    return NoisePlan(multiplier_of(settings.privacy), settings.privacy.delta, settings.privacy.noise_banks, shares)
