"""The chain over a training's rounds: whoever signs on it says which past he has seen, so that a fork shows.

history_0   = SHA-256(context ‖ training ‖ plan digest ‖ roster digest ‖ deals digest)
history_k+1 = SHA-256(context ‖ history_k ‖ k ‖ query digest ‖ contributors digest ‖ aggregate digest)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from protocol.ids import NodeId, TrainingId, sha256_hex, uuid_bytes

_CONTEXT = b"fraud-consortium/history/v1\0"


def first_history(training: TrainingId, *, plan: str, roster: str, deals: str) -> str:
    """The chain's value before round 0; all digests in hex, that of the deals as in a member's `Receipt`.

    The deals decide the noise of every share: members who were shown different deals of one dealer would derive
    different noise for one piece, and their shares' difference would say something of it.
    """
    digests = b"".join(bytes.fromhex(digest) for digest in (plan, roster, deals))
    return sha256_hex(_CONTEXT + uuid_bytes(training) + digests)


def next_history(history: str, round_index: int, *, query: str, contributors: str, aggregate: str) -> str:
    """The chain's value after a round; all digests in hex."""
    chained = hashlib.sha256(_CONTEXT + bytes.fromhex(history) + round_index.to_bytes(4, "big"))
    for digest in (query, contributors, aggregate):
        chained.update(bytes.fromhex(digest))
    return chained.hexdigest()


def contributors_digest(contributors: Sequence[NodeId]) -> str:
    """Digest of a contributor set U: its node ids in ascending order."""
    return sha256_hex(_CONTEXT + b"U" + b"".join(sorted(uuid_bytes(node) for node in contributors)))
