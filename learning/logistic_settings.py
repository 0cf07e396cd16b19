"""What a plan says about logistic regression; names and defaults are scikit-learn's where it has them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from learning.schema import FeatureSchema


class LogisticSettings(BaseModel):
    """Logistic regression by Newton's method over sums of gradients and Hessians.

    Attributes:
        inputs: the feature schema.
        C: inverse of the L2 penalty on standardised coefficients: ½·|w|² + C·Σ loss is minimised.
        fit_intercept: whether there is an intercept; it is not penalised.
        scale_pos_weight: factor on the weight of frauds.
        tol: largest change of a standardised coefficient in the last step.
        max_rounds: Newton steps at most, halved ones included.
        max_rows: more rows than all banks together can have; bounds the counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["logistic"] = "logistic"
    inputs: FeatureSchema
    C: float = Field(default=1.0, gt=0)
    fit_intercept: bool = True
    scale_pos_weight: float = Field(default=1.0, gt=0, le=1e6)
    tol: float = Field(default=1e-6, gt=0, lt=1)
    max_rounds: int = Field(default=40, ge=1, le=1000)
    max_rows: int = Field(default=1 << 24, ge=1, le=1 << 32)
