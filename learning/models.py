"""From a plan's kind of learning to the model that it leaves, where that is a model that scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.gbdt_model import GbdtModel
from learning.logistic_model import LogisticModel


class ScoringModel(Protocol):
    """What scores transactions."""

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of fraud a row, float64 of shape (n,).

        Raises:
            DataRejected: a column is missing or not of its type.
        """


#: Kind of learning → how its model is read from its bytes.
READERS: Mapping[str, Callable[[bytes], ScoringModel]] = MappingProxyType(
    {
        "gbdt": GbdtModel.from_bytes,
        "random_gbdt": GbdtModel.from_bytes,
        "logistic": LogisticModel.from_bytes,
        "fedavg": LogisticModel.from_bytes,
    }
)
#: Kind of learning that leaves no model that scores → what it leaves.
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "entity_tables": "a table of entities' risks, from which other models take features",
        "drift": "a report on drift",
    }
)
