"""Logistic regression that equals the one of the pooled rows: python -m examples.logistic."""

import numpy as np
import pandas as pd

from examples.banks import schema, tables
from learning.driver import run
from learning.logistic import LogisticRegression
from learning.logistic_settings import LogisticSettings
from learning.schema import prepare


def main() -> None:
    """Train over three banks' sums and over one bank that has all rows, and compare the coefficients."""
    inputs, parts = schema(), tables()
    algorithm = LogisticRegression(LogisticSettings(inputs=inputs))
    steps: list[str] = []
    banks = [prepare(rows, inputs) for rows in parts.values()]
    together = run(algorithm, banks, on_round=lambda query, _: steps.append(query.name))
    pooled = run(algorithm, [prepare(pd.concat(parts.values()), inputs)])
    X = prepare(pd.concat(parts.values()), inputs).X
    difference = np.abs(together.margins(X) - pooled.margins(X)).max()
    print(f"{len(steps)} secure sums: {', '.join(dict.fromkeys(steps))}")
    print(f"average precision {together.evaluation['test_ap']:.3f}")
    print(f"largest difference of a log-odds from the pooled rows' model: {difference:.1e}")


if __name__ == "__main__":
    main()
