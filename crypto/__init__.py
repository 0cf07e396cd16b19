"""Threshold CKKS for sums: what everyone may call. Nothing here can reach a key; `crypto.member` is the banks' door.

A sum, from integers to integers, in reading order:

    parameters.derive                     how wide the primes must be for the sum, the noise and the check
    keys, dealing, committee_key          each bank's key, cut into pieces for the committee
    encryption.Encryptor.encrypt          c_i = m_i + e_i − a·s_i
    summation.sum_chunks                  c_U = Σ c_i, by the workers
    decryption_share.Decryptor.share      d_j = Σ_A (a·s_A(U) + e_A), by the committee
    combination.combine_chunks            Σ m_i = c_U + Σ d_j, rounded and checked

docs/crypto.md has the scheme and its proofs' references.
"""

from crypto.agreement import Collusion, collusion_table, default_threshold, equivocation_colluders, votes_needed
from crypto.combination import check_coverage, combine_chunks
from crypto.encoding import dequantise, quantise
from crypto.errors import CryptoError
from crypto.parameters import Parameters, ParameterSpec, derive
from crypto.pieces import assign, piece_layout, pieces_of
from crypto.summation import sum_chunks
from crypto.warm_up import warm_up
from crypto.wire import (
    HEADER_BYTES,
    Header,
    Kind,
    RoundId,
    check_contribution,
    check_residues,
    check_share,
    contributors_digest,
    read_header,
)

__all__ = [
    "HEADER_BYTES",
    "Collusion",
    "CryptoError",
    "Header",
    "Kind",
    "ParameterSpec",
    "Parameters",
    "RoundId",
    "assign",
    "check_contribution",
    "check_coverage",
    "check_residues",
    "check_share",
    "collusion_table",
    "combine_chunks",
    "contributors_digest",
    "default_threshold",
    "dequantise",
    "derive",
    "equivocation_colluders",
    "piece_layout",
    "pieces_of",
    "quantise",
    "read_header",
    "sum_chunks",
    "votes_needed",
    "warm_up",
]
