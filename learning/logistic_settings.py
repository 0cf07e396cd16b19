"""What a plan says about logistic regression; names and defaults are scikit-learn's where it has them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning.counting import count_bound
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

    @model_validator(mode="after")
    def _countable(self) -> LogisticSettings:
        count_bound(self.max_rows, self.scale_pos_weight)
        return self


class FedAvgSettings(BaseModel):
    """Logistic regression by averaging: banks train alone for a while, their coefficients are averaged by rows.

    FedAvg (McMahan et al., AISTATS 2017); with `mu` above 0 FedProx (Li et al., MLSys 2020), which holds the banks'
    coefficients near the common ones. Unlike `logistic` it depends on how the rows are spread over banks.

    Attributes:
        inputs: the feature schema.
        rounds: how often is averaged.
        local_epochs: passes over its rows that a bank makes in a round.
        batch_size: rows of a local step.
        learning_rate: of the local steps, on standardised columns.
        mu: weight of the squared distance from the common coefficients.
        C: inverse of the L2 penalty, as in `logistic`.
        fit_intercept: whether there is an intercept; it is not penalised.
        scale_pos_weight: factor on the weight of frauds.
        max_change: the farthest that a bank may move a coefficient in a round; further moves are cut.
        seed: of the rows' order.
        max_rows: more rows than all banks together can have; bounds the counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fedavg"] = "fedavg"
    inputs: FeatureSchema
    rounds: int = Field(default=20, ge=1, le=10_000)
    local_epochs: int = Field(default=1, ge=1, le=1000)
    batch_size: int = Field(default=256, ge=1, le=1 << 24)
    learning_rate: float = Field(default=0.1, gt=0, le=100)
    mu: float = Field(default=0.0, ge=0, le=1e6)
    C: float = Field(default=1.0, gt=0)
    fit_intercept: bool = True
    scale_pos_weight: float = Field(default=1.0, gt=0, le=1e6)
    max_change: float = Field(default=8.0, gt=0, le=1024)
    seed: int = Field(default=0, ge=0, lt=1 << 53)
    max_rows: int = Field(default=1 << 24, ge=1, le=1 << 32)

    @model_validator(mode="after")
    def _countable(self) -> FedAvgSettings:
        count_bound(self.max_rows, self.scale_pos_weight)
        return self
