"""Compiles the kernels ahead of the first round; with a writable cache this costs a second once a machine."""

from __future__ import annotations

import numpy as np

from crypto import kernels, packing
from crypto.parameters import Parameters
from crypto.ring import ring_of


def warm_up(parameters: Parameters) -> None:
    """Loads (or compiles) what a worker runs: packing, the sum, and decoding.

    Args:
        parameters: of any training to come.
    """
    prime, width = ring_of(parameters).primes[0], parameters.residue_bytes
    residues = np.ones(2, dtype=np.uint64)
    packed = np.empty(2 * width, dtype=np.uint8)
    packing.pack(residues, width, packed)
    packing.unpack_add(residues, packed, width)
    kernels.reduce_words(residues, prime.p, prime.ratio)
    kernels.decode(residues, prime.p, np.uint64(parameters.scale), np.int64(1), np.empty(2, dtype=np.int64))
