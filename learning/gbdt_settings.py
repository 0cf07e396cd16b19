"""What a plan says about gradient-boosted trees; names and defaults are XGBoost's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning.counting import count_bound
from learning.limits import MAX_BINS
from learning.schema import FeatureSchema


class GbdtSettings(BaseModel):
    """Gradient-boosted trees over summed histograms.

    Attributes:
        inputs: the feature schema.
        trees: how many at most.
        max_depth: splits on the longest way to a leaf; a tree takes as many rounds.
        learning_rate: factor on every leaf.
        max_bin: bins a feature has, the one for missing values not counted.
        reg_lambda: L2 on leaf weights.
        reg_alpha: L1 on leaf weights.
        gamma: least gain of a split.
        min_child_weight: least sum of second derivatives in a child.
        max_delta_step: largest leaf weight before the learning rate; 0 for no limit.
        subsample: part of the rows that a tree sees, from the public seed.
        colsample_bytree: part of the features that a tree sees, from the public seed.
        scale_pos_weight: factor on the weight of frauds.
        monotone: feature → 1 (rising) or −1 (falling).
        base_score: the first prediction, a probability; the training rows' fraud rate by default.
        early_stopping_rounds: stop when the validation AP has not risen for so many trees; needs validation rows.
        seed: of row and column sampling.
        max_rows: more rows than all banks together can have; bounds the counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["gbdt"] = "gbdt"
    inputs: FeatureSchema
    trees: int = Field(default=100, ge=1, le=5000)
    max_depth: int = Field(default=6, ge=1, le=12)
    learning_rate: float = Field(default=0.3, gt=0, le=1)
    max_bin: int = Field(default=64, ge=2, le=MAX_BINS)
    reg_lambda: float = Field(default=1.0, ge=0)
    reg_alpha: float = Field(default=0.0, ge=0)
    gamma: float = Field(default=0.0, ge=0)
    min_child_weight: float = Field(default=1.0, ge=0)
    max_delta_step: float = Field(default=0.0, ge=0)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    scale_pos_weight: float = Field(default=1.0, gt=0, le=1e6)
    monotone: dict[str, Annotated[int, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    base_score: float | None = Field(default=None, gt=0, lt=1)
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=1 << 53)
    max_rows: int = Field(default=1 << 24, ge=1, le=1 << 32)

    @model_validator(mode="after")
    def _consistent(self) -> GbdtSettings:
        unknown = sorted(set(self.monotone) - set(self.inputs.names))
        if unknown:
            raise ValueError(f"monotone: {unknown[0]!r} is no feature")
        count_bound(self.max_rows, self.scale_pos_weight)
        split = self.inputs.split
        if self.early_stopping_rounds is not None and not (split.validation_from or split.validation_share):
            raise ValueError("early_stopping_rounds: needs validation rows, which inputs.split does not set aside")
        return self
