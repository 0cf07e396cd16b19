"""What a plan says about random trees: structure from the public seed, leaf sums alone from the banks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning.limits import MAX_BINS
from learning.schema import FeatureSchema, NumericFeature


class PrivacySettings(BaseModel):
    """Record-level differential privacy of a whole training: either a target, or the noise itself.

    Attributes:
        epsilon: the target; the noise is derived from it.
        delta: at which epsilon is stated.
        noise_multiplier: of the whole training, as if it were one sum with sensitivity 1 and this noise.
        noise_banks: the honest banks whose noise alone must reach the plan's: at most `cohort.min_banks` less the
            colluders, or less one where there are none; 1 without encryption. `plan check` warns of more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float | None = Field(default=None, ge=0.01, le=100)
    delta: float = Field(default=1e-6, gt=0, le=0.01)
    noise_multiplier: float | None = Field(default=None, ge=0.05, le=1000)
    noise_banks: int = Field(default=2, ge=1, le=100)

    @model_validator(mode="after")
    def _one_of_both(self) -> PrivacySettings:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("privacy: give epsilon or noise_multiplier, one of both")
        return self


class RandomTreesSettings(BaseModel):
    """Boosted trees whose structure does not depend on any data.

    Attributes:
        inputs: the feature schema; row weights are not allowed, as a weight would be a record's influence.
        trees: how many.
        trees_a_round: trees whose leaves one sum fills; they share their gradients and are averaged.
        max_depth: splits on the longest way to a leaf.
        learning_rate: factor on the step of each round.
        max_bin: bins a feature has, the one for missing values not counted.
        reg_lambda: L2 on leaf weights: the inverse of the variance that a leaf's weight is expected to have.
        edges: "declared" takes equal bins between every numeric feature's public `low` and `high`; "sketched" asks for
            one more sum, with its share of the noise.
        base_score: the first prediction, a probability; by default the training rows' (noised) fraud rate.
        evaluate: whether the last sum has the scores of validation and test rows.
        privacy: differential privacy, or None.
        seed: of the structure.
        max_rows: more rows than all banks together can have; bounds the sums.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["random_gbdt"] = "random_gbdt"
    inputs: FeatureSchema
    trees: int = Field(default=200, ge=1, le=5000)
    trees_a_round: int = Field(default=10, ge=1, le=1000)
    max_depth: int = Field(default=4, ge=1, le=10)
    learning_rate: float = Field(default=1.0, gt=0, le=1)
    max_bin: int = Field(default=32, ge=2, lt=MAX_BINS)
    reg_lambda: float = Field(default=1.0, gt=0)
    edges: Literal["declared", "sketched"] = "declared"
    base_score: float | None = Field(default=None, gt=0, lt=1)
    evaluate: bool = True
    privacy: PrivacySettings | None = None
    seed: int = Field(default=0, ge=0, lt=1 << 53)
    max_rows: int = Field(default=1 << 24, ge=1, le=1 << 32)

    @model_validator(mode="after")
    def _consistent(self) -> RandomTreesSettings:
        if self.inputs.weight is not None:
            raise ValueError("inputs.weight: random trees take no row weights")
        if self.edges == "declared":
            for feature in self.inputs.features:
                if isinstance(feature, NumericFeature) and (feature.low is None or feature.high is None):
                    raise ValueError(
                        f"inputs: numeric feature {feature.name!r} needs a declared low and high, or edges 'sketched'"
                    )
        return self

    @property
    def batches(self) -> int:
        """Sums of leaves that the training takes."""
        return -(-self.trees // self.trees_a_round)
