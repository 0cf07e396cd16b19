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
    from crypto import ParameterSpec, RoundId, derive, piece_layout  # noqa: PLC0415
    from crypto.member import (  # noqa: PLC0415
        Ceremony,
        CommitteeKeyBuilder,
        Decryptor,
        Encryptor,
        SealingKey,
        SecretKey,
        deal,
    )

    parameters = derive(ParameterSpec(sum_bits=44, max_contributors=3, committee_size=3, threshold=2))
    banks = tuple(bytes([number]) * 16 for number in range(3))
    ceremony, round_id = Ceremony(parameters, bytes(16), banks, banks), RoundId(parameters, bytes(16), 0, 2)
    sealing = {bank: SealingKey.generate() for bank in banks}
    builder = CommitteeKeyBuilder(ceremony, banks[0], sealing[banks[0]])
    for bank in banks:
        secret = SecretKey.generate(parameters)
        dealt = deal(ceremony, bank, secret, {member: key.public_bytes for member, key in sealing.items()})
        builder.receive(bank, dealt.commitments, dealt.sealed[banks[0]])
        Encryptor(ceremony, bank, secret).encrypt(round_id, np.ones(2, dtype=np.int64))
    held = [number for number, holders in enumerate(piece_layout(3, 2)) if 0 in holders]
    Decryptor(ceremony, banks[0], builder.finish()).share(round_id, banks, held)
