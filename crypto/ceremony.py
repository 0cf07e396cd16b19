"""What a key ceremony is bound to: parameters, training, attempt, dealers, committee."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property

from crypto.errors import ParameterError
from crypto.parameters import Parameters
from crypto.wire import ID_BYTES

_DOMAIN = b"fraud-consortium/ceremony/v1\0"


@dataclass(frozen=True)
class Ceremony:
    """The context of a training's keys.

    Attributes:
        parameters: the training's.
        training: 16 bytes.
        dealers: ids (16 bytes) of the banks that deal a key and may contribute, in roster order.
        committee: ids of the members that hold pieces, in order; member j of the piece layout is ``committee[j]``.
        attempt: which ceremony of this training.
    """

    parameters: Parameters
    training: bytes
    dealers: tuple[bytes, ...]
    committee: tuple[bytes, ...]
    attempt: int = 0

    def __post_init__(self) -> None:
        spec = self.parameters.spec
        for name, ids in (("dealers", self.dealers), ("committee", self.committee), ("training", (self.training,))):
            if len(set(ids)) != len(ids) or any(len(one) != ID_BYTES for one in ids):
                raise ParameterError(name, expected=f"distinct ids of {ID_BYTES} bytes", got="others")
        if len(self.committee) != spec.committee_size:
            raise ParameterError("committee", expected=f"{spec.committee_size} members", got=str(len(self.committee)))
        if not 1 <= len(self.dealers) <= spec.max_contributors:
            raise ParameterError("dealers", expected=f"1 to {spec.max_contributors}", got=str(len(self.dealers)))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of everything above: what seeds, commitments and noise keys are bound to."""
        counts = struct.pack(">III", self.attempt, len(self.dealers), len(self.committee))
        parts = (self.parameters.id, self.training, *self.dealers, *self.committee)
        return hashlib.sha256(_DOMAIN + counts + b"".join(parts)).digest()

    def dealer_index(self, dealer: bytes) -> int:
        """A dealer's place.

        Raises:
            ParameterError: it is none.
        """
        if dealer not in self.dealers:
            raise ParameterError("dealer", expected="a bank on the roster", got=dealer.hex())
        return self.dealers.index(dealer)

    def member_index(self, member: bytes) -> int:
        """A committee member's place.

        Raises:
            ParameterError: it is none.
        """
        if member not in self.committee:
            raise ParameterError("member", expected="a member of the committee", got=member.hex())
        return self.committee.index(member)
