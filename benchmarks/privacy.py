"""What differential privacy costs in average precision: random trees at several epsilons, on one table dealt to banks.

    chance      the test rows' fraud rate
    xgboost     boosted trees over secure sums without noise: what is given up altogether
    no_noise    the random trees without noise: what is given up by structure alone
    epsilon     random trees with the noise of that epsilon, `repeats` times with fresh noise and another structure

Settings are the product's defaults unless given. AP is measured on the test rows in the clear; `federated_ap` is what
the training itself says about them, under its own noise.

    python -m benchmarks.privacy --data FILE --label COL --exclude COL … --json -

With `--entity`, `--customer`, `--time` and `--amount` the model's inputs are customers' profiles and entities' risk, as
in `benchmarks.shared_intelligence`; what noise in the entity tables would cost is not in these figures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks.common import machine, write_json
from benchmarks.learning import read_table
from benchmarks.shared_intelligence import Columns, model_inputs, table_settings
from learning.driver import run
from learning.gbdt import GradientBoosting
from learning.gbdt_model import GbdtModel
from learning.gbdt_settings import GbdtSettings
from learning.random_trees import RandomTrees
from learning.random_trees_settings import PrivacySettings, RandomTreesSettings
from learning.schema import Dataset, Feature, FeatureSchema, NumericFeature, Part, Split, infer_schema, prepare


def dealt(frame: pd.DataFrame, schema: FeatureSchema, banks: int, seed: int = 0) -> list[Dataset]:
    """The rows dealt to banks at random, each with the operating system's randomness for its noise."""
    bank = np.random.default_rng(seed).integers(0, banks, len(frame))
    return [prepare(frame[bank == number], schema, randbytes=os.urandom) for number in range(banks)]


def declare(schema: FeatureSchema, ranges: Sequence[str]) -> FeatureSchema:
    """The schema with public bounds of its numbers.

    Args:
        schema: as inferred from the table.
        ranges: ``PATTERN=LOW:HIGH``, the pattern as in file names; the first that matches a feature holds.
    """
    bounds: list[tuple[str, float, float]] = []
    for text in ranges:
        pattern, _, values = text.partition("=")
        low, high = map(float, values.split(":"))
        bounds.append((pattern, low, high))
    features: list[Feature] = []
    for feature in schema.features:
        found = next(((low, high) for pattern, low, high in bounds if fnmatchcase(feature.name, pattern)), None)
        if isinstance(feature, NumericFeature) and found is not None:
            features.append(NumericFeature(name=feature.name, low=found[0], high=found[1]))
        else:
            features.append(feature)
    return schema.model_copy(update={"features": tuple(features)})


def with_profiles_and_risk(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The model's inputs from raw transactions, without their time: the split is by row here."""
    frame[columns.time] = pd.to_datetime(frame[columns.time])
    (inputs,) = model_inputs([frame], columns, table_settings(frame, columns), "pooled", key=bytes(32))
    return inputs.drop(columns=columns.time)


def ap_of(model: GbdtModel, banks: Sequence[Dataset]) -> float:
    """Average precision on all banks' test rows."""
    X = np.concatenate([data.X[data.part == Part.TEST] for data in banks])
    y = np.concatenate([data.y[data.part == Part.TEST] for data in banks])
    return float(average_precision_score(y, model.margins(X)))


def at(
    epsilon: float | None,
    schema: FeatureSchema,
    banks: Sequence[Dataset],
    *,
    repeats: int,
    delta: float,
    **settings: Any,
) -> dict[str, Any]:
    """Figures of random trees at one epsilon, or without noise."""
    privacy = None if epsilon is None else PrivacySettings(epsilon=epsilon, delta=delta, noise_banks=len(banks))
    aps, federated, seconds = [], [], []
    for seed in range(repeats):
        plan = RandomTreesSettings(inputs=schema, privacy=privacy, seed=seed, **settings)
        began = time.perf_counter()
        model = run(RandomTrees(plan), banks)
        seconds.append(time.perf_counter() - began)
        aps.append(ap_of(model, banks))
        federated.append(model.evaluation.get("test_ap"))
    judged = [value for value in federated if value is not None]
    return {
        "ap": round(statistics.mean(aps), 4),
        "ap_sd": round(statistics.stdev(aps), 4) if repeats > 1 else None,
        "federated_ap": round(statistics.mean(judged), 4) if judged else None,
        "federated_error": round(
            statistics.mean(abs(said - true) for said, true in zip(federated, aps, strict=True) if said is not None), 4
        ) if judged else None,
        "noise_multiplier": model.privacy.get("noise_multiplier"),
        "seconds": round(statistics.median(seconds), 2),
    }  # fmt: skip


def measure(
    frame: pd.DataFrame, schema: FeatureSchema, epsilons: Sequence[float], *, banks: int, repeats: int, delta: float,
    **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    """Everything that the module's first lines list."""
    data = dealt(frame, schema, banks)
    parts = {part: np.concatenate([bank.y[bank.part == part] for bank in data]) for part in (Part.TRAIN, Part.TEST)}
    found: dict[str, Any] = {
        f"{part.name.lower()}_{what}": int(value)
        for part, y in parts.items()
        for what, value in (("rows", len(y)), ("frauds", y.sum()))
    }
    found["chance"] = round(float(parts[Part.TEST].mean()), 4)
    boosted = run(GradientBoosting(GbdtSettings(inputs=schema, learning_rate=0.1, max_depth=6)), data)
    found["xgboost"] = {"ap": round(ap_of(boosted, data), 4)}
    found["no_noise"] = at(None, schema, data, repeats=repeats, delta=delta, **settings)
    print("no noise", found["no_noise"], file=sys.stderr)
    found["epsilon"] = {}
    for epsilon in epsilons:
        found["epsilon"][f"{epsilon:g}"] = at(epsilon, schema, data, repeats=repeats, delta=delta, **settings)
        print("epsilon", epsilon, found["epsilon"][f"{epsilon:g}"], file=sys.stderr)
    return found


def main() -> None:
    """Reads the command line, measures, prints JSON."""
    defaults = {name: field.default for name, field in RandomTreesSettings.model_fields.items()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a CSV or Parquet table")
    parser.add_argument("--label", required=True)
    parser.add_argument("--exclude", nargs="*", default=[], help="columns that are no features")
    parser.add_argument(
        "--range", nargs="*", default=[], metavar="PATTERN=LOW:HIGH", help="public bounds; with any, no sketch is asked"
    )
    parser.add_argument("--banks", type=int, default=3)
    parser.add_argument("--test-share", type=float, default=0.3)
    parser.add_argument("--epsilons", nargs="+", type=float, default=[0.5, 1.0, 3.0, 8.0])
    parser.add_argument("--delta", type=float, default=1e-6)
    parser.add_argument("--repeats", type=int, default=10)
    for name in ("trees", "trees_a_round", "max_depth"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=defaults[name])
    parser.add_argument("--learning-rate", type=float, default=defaults["learning_rate"])
    for name in ("entity", "customer", "time", "amount"):
        parser.add_argument(f"--{name}", metavar="COL")
    parser.add_argument("--json", default="-")
    arguments = parser.parse_args()
    frame = read_table(arguments.data)
    if arguments.entity is not None:
        if None in (arguments.customer, arguments.time, arguments.amount):
            parser.error("--entity: needs --customer, --time and --amount too")
        columns = Columns(arguments.entity, arguments.customer, arguments.time, arguments.amount, arguments.label)
        frame = with_profiles_and_risk(frame, columns)
    schema = infer_schema(
        frame, label=arguments.label, exclude=tuple(arguments.exclude), split=Split(test_share=arguments.test_share)
    )
    schema = declare(schema, arguments.range)
    names = ("trees", "trees_a_round", "max_depth", "learning_rate")
    settings = {name: getattr(arguments, name) for name in names} | {
        "edges": "declared" if arguments.range else "sketched"
    }
    found = measure(
        frame, schema, arguments.epsilons, banks=arguments.banks, repeats=arguments.repeats, delta=arguments.delta,
        **settings,
    )  # fmt: skip
    write_json({**found, "banks": arguments.banks, "settings": settings, "machine": machine()}, arguments.json)


if __name__ == "__main__":
    main()
