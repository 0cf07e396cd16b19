"""What the short scripts train on: three simulated banks' tables, and the schema of a model's inputs."""

from collections.abc import Sequence

import pandas as pd

from examples.simulator import SimulationSettings, simulate
from examples.simulator.features import transaction_features
from examples.simulator.vocabulary import CATEGORY_NAMES, CHANNELS
from learning.derived_names import profile_names
from learning.profiles import customer_profiles
from learning.schema import BooleanFeature, CategoricalFeature, FeatureSchema, NumericFeature, Split, TimeFeature

SETTINGS = SimulationSettings(banks=5, customers=2500, terminals=500, days=60, seed=7)
#: How often the customer has been at this terminal, and used this device, before.
HABITS = ("visits", "device_uses")
#: Rows from this day on are the test rows.
TEST_FROM = pd.Timestamp(SETTINGS.start) + pd.Timedelta(days=42)
#: An entity table counts a fraud once its transaction is so old; what is reported later it never counts.
LABEL_DELAY_DAYS = 4


def tables() -> dict[str, pd.DataFrame]:
    """Each bank's transactions, its customers' profiles, and which frauds were reported in time to be counted."""
    simulation = simulate(SETTINGS)
    found = {}
    for bank in simulation.banks:
        rows = simulation.for_bank(bank)
        rows["confirmed"] = (rows["reported_after_days"] <= LABEL_DELAY_DAYS).astype("int8")
        habits = transaction_features(rows)[list(HABITS)]
        profiles = customer_profiles(rows, customer="customer", time="time", amount="amount")
        found[bank] = rows.join([profiles, habits])
    return found


def schema(more: Sequence[str] = ()) -> FeatureSchema:
    """The inputs: the transaction, its customer's profile, and further numeric columns such as a terminal's risk."""
    numbers = ("amount", *HABITS, *profile_names((1, 7, 30)), *more)
    return FeatureSchema(
        features=(
            *(NumericFeature(name=name) for name in numbers),
            BooleanFeature(name="abroad"),
            CategoricalFeature(name="channel", levels=CHANNELS),
            CategoricalFeature(name="merchant_category", levels=CATEGORY_NAMES),
            TimeFeature(name="hour", column="time", part="hour"),
        ),
        label="fraud",
        time="time",
        split=Split(test_from=TEST_FROM.to_pydatetime()),
    )
