"""Averaging of coefficients, and why sums of gradients are better: python -m examples.fedavg."""

from examples.banks import schema, tables
from learning.driver import run
from learning.fedavg import FederatedAveraging
from learning.logistic import LogisticRegression
from learning.logistic_settings import FedAvgSettings, LogisticSettings
from learning.schema import prepare


def main() -> None:
    """FedAvg and FedProx beside Newton's method over summed gradients, on the same banks."""
    inputs = schema()
    banks = [prepare(rows, inputs) for rows in tables().values()]
    exact = run(LogisticRegression(LogisticSettings(inputs=inputs)), banks)
    print(f"{'summed gradients':24} average precision {exact.evaluation['test_ap']:.3f}")
    for rounds, mu in ((2, 0.0), (15, 0.0), (15, 0.1)):
        model = run(FederatedAveraging(FedAvgSettings(inputs=inputs, rounds=rounds, mu=mu)), banks)
        name = f"{'FedProx' if mu else 'FedAvg'}, {rounds} averages"
        print(f"{name:24} average precision {model.evaluation['test_ap']:.3f}")


if __name__ == "__main__":
    main()
