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
    from bank_node.sources import csv_file, parquet_file  # noqa: F401, PLC0415  # the command line answers without it
    from learning import warm_up  # noqa: PLC0415

    warm_up.warm_up()


def _encrypt() -> None:
    from crypto import ParameterSpec, RoundId, derive  # noqa: PLC0415
    from crypto.member import Ceremony, Encryptor, SecretKey  # noqa: PLC0415

    parameters = derive(ParameterSpec(sum_bits=44, max_contributors=3, committee_size=3, threshold=2))
    banks = tuple(bytes([number]) * 16 for number in range(3))
    encryptor = Encryptor(Ceremony(parameters, bytes(16), banks, banks), banks[0], SecretKey.generate(parameters))
    encryptor.encrypt(RoundId(parameters, bytes(16), 0, 2), np.ones(2, dtype=np.int64))
