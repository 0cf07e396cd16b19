"""Do the simulated banks gain from one another? Local against pooled models, by whose rows the terminals' risk counts.

    python -m examples.simulator.sanity --banks 5 --customers 5000 --days 120 --seed 7

All models are stock XGBoost with the same settings. They are trained on the first two thirds of the days, on labels
that had been reported by then, and scored on the last third. Nothing here is federated or encrypted: it is what
a consortium has to measure up to.
"""

from typing import Final

import click
import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from examples.simulator.features import terminal_risk, transaction_features
from examples.simulator.settings import SimulationSettings
from examples.simulator.simulation import Simulation, simulate
from examples.simulator.vocabulary import TYPOLOGY_NAMES

PARAMETERS: Final = {
    "objective": "binary:logistic", "tree_method": "hist", "max_depth": 6, "eta": 0.1, "subsample": 0.8,
    "min_child_weight": 5, "seed": 1, "nthread": 2,
}  # fmt: skip
ROUNDS: Final = 150
NARROW: Final = "compromised_terminal"
VARIANTS: Final = ("no terminal risk", "own rows' terminal risk", "all banks' terminal risk")


def feature_sets(simulation: Simulation) -> dict[str, pd.DataFrame]:
    """The features of every transaction, by variant of the terminals' risk."""
    rows = simulation.transactions
    plain = transaction_features(rows)
    own = pd.concat([terminal_risk(part, part) for _, part in rows.groupby("bank")]).loc[rows.index]
    return dict(zip(VARIANTS, [plain, plain.join(own), plain.join(terminal_risk(rows, rows))], strict=True))


def split(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int8]]:
    """Training rows, test rows, and the labels that were known when training ended."""
    start, end = rows["time"].min().normalize(), rows["time"].max()
    cut = start + (end - start) * (2 / 3)
    known = (rows["time"] + pd.to_timedelta(rows["reported_after_days"], unit="D")) < cut
    test = (rows["time"] >= cut).to_numpy()
    # The first weeks have no history to count terminals' risk from.
    train = ~test & (rows["time"] >= start + (cut - start) / 8).to_numpy()
    return train, test, (rows["fraud"].where(known, 0)).to_numpy().astype(np.int8)


def train_and_score(
    features: pd.DataFrame, labels: NDArray[np.int8], train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Margins of the test rows under a model of the training rows, float32."""
    data = xgboost.DMatrix(features[train], labels[train])
    model = xgboost.train(PARAMETERS, data, ROUNDS)
    return np.asarray(model.predict(xgboost.DMatrix(features[test]), output_margin=True), dtype=np.float32)


def _precision_by_bank(scored: pd.DataFrame) -> dict[str, float]:
    """Average precision of each bank's scores, their mean, and the mean for compromised terminals alone."""
    parts = {str(bank): part for bank, part in scored.groupby("bank")}
    all_frauds = {bank: average_precision_score(part["fraud"], part["score"]) for bank, part in parts.items()}
    narrow = {bank: part[part["fraud_type"].isna() | (part["fraud_type"] == NARROW)] for bank, part in parts.items()}
    alone = [average_precision_score(part["fraud"], part["score"]) for part in narrow.values() if part["fraud"].any()]
    return {**all_frauds, "mean": float(np.mean(list(all_frauds.values()))), NARROW: float(np.mean(alone))}


def compare(simulation: Simulation) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average precision and recall by typology, of local and pooled models.

    Returns:
        Average precision with a column for each bank and their mean, and one that counts no fraud but compromised
        terminals'; and the part of each typology's frauds among each bank's 1 % highest scores. Both have one row for
        each variant and kind of training.
    """
    rows = simulation.transactions
    train, test, labels = split(rows)
    precision, recall = {}, {}
    for variant, features in feature_sets(simulation).items():
        scores = {"local": np.zeros(len(rows)), "pooled": np.zeros(len(rows))}
        scores["pooled"][test] = train_and_score(features, labels, train, test)
        for bank in simulation.banks:
            own = (rows["bank"] == bank).to_numpy()
            scores["local"][own & test] = train_and_score(features, labels, train & own, test & own)
        for kind, score in scores.items():
            scored = rows.assign(score=score)[test]
            precision[variant, kind] = _precision_by_bank(scored)
            alert = scored.groupby("bank")["score"].rank(pct=True) > 0.99
            recall[variant, kind] = alert.groupby(scored["fraud_type"]).mean()
    return pd.DataFrame(precision).T, pd.DataFrame(recall).T.reindex(columns=list(TYPOLOGY_NAMES))


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--banks", default=5, show_default=True)
@click.option("--customers", default=5000, show_default=True)
@click.option("--terminals", default=1000, show_default=True)
@click.option("--days", default=120, show_default=True)
@click.option("--seed", default=7, show_default=True)
def main(**options: int) -> None:
    """Simulate, train, and print both tables."""
    simulation = simulate(SimulationSettings.model_validate(options))
    rows = simulation.transactions
    print(f"{len(rows)} transactions, {100 * rows['fraud'].mean():.2f} % fraud\n")
    precision, recall = compare(simulation)
    print("Average precision on the last third of the days")
    print(precision.to_string(float_format="{:.3f}".format))
    print("\nFrauds among each bank's 1 % highest scores, by typology")
    print(recall.to_string(float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
