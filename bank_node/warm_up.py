"""Loads what a training needs before the first one begins: libraries, and the compiled kernels from their cache.

A bank's agent runs for months; all banks together would otherwise wait for the second or two that this takes, at
the first invitation and the first round.
"""

from __future__ import annotations

import numpy as np


def warm_up() -> None:
    """Runs what a training runs, once, on a few rows that are nobody's."""
    _learn()
    _encrypt()


def _learn() -> None:
    import pandas as pd  # noqa: PLC0415  # the command line answers without it

    from bank_node.sources import csv_file, parquet_file  # noqa: F401, PLC0415
    from learning.driver import run  # noqa: PLC0415
    from learning.gbdt import GradientBoosting  # noqa: PLC0415
    from learning.gbdt_settings import GbdtSettings  # noqa: PLC0415
    from learning.logistic import LogisticRegression  # noqa: PLC0415
    from learning.logistic_settings import LogisticSettings  # noqa: PLC0415
    from learning.schema import FeatureSchema, NumericFeature, Split, prepare  # noqa: PLC0415

    row = np.arange(64)
    frame = pd.DataFrame({"x": row % 7, "z": (row * 5) % 11, "fraud": row % 3 == 0})
    schema = FeatureSchema(
        features=(NumericFeature(name="x"), NumericFeature(name="z")), label="fraud", split=Split(test_share=0.2)
    )
    data = prepare(frame, schema)
    run(GradientBoosting(GbdtSettings(inputs=schema, trees=2, max_depth=2)), [data])
    run(LogisticRegression(LogisticSettings(inputs=schema)), [data])


def _encrypt() -> None:
    from crypto import ParameterSpec, RoundId, derive  # noqa: PLC0415
    from crypto.member import Ceremony, Encryptor, SecretKey  # noqa: PLC0415

    parameters = derive(ParameterSpec(sum_bits=44, max_contributors=3, committee_size=3, threshold=2))
    banks = tuple(bytes([number]) * 16 for number in range(3))
    encryptor = Encryptor(Ceremony(parameters, bytes(16), banks, banks), banks[0], SecretKey.generate(parameters))
    encryptor.encrypt(RoundId(parameters, bytes(16), 0, 2), np.ones(2, dtype=np.int64))
