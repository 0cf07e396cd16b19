"""Who takes part in a training, with which keys: what every bank pins before the key ceremony."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping

from pydantic import Field, model_validator

from protocol.ids import DigestHex, Name, NodeId, TrainingId, UUIDText
from protocol.statements import Acceptance, Base64Text, SignedStatement, WireModel, canonical_digest

MAX_COMMITTEE = 9


class Member(WireModel):
    """A bank on the roster.

    `signing_key` is the identity that the consortium's operator let in; `acceptance` is the bank's own signed
    acceptance of the plan, which carries the sealing key made for this training.
    """

    node: UUIDText
    name: Name
    signing_key: Base64Text
    acceptance: SignedStatement


class Roster(WireModel):
    """The banks of a training, in ascending order of node id, and which of them decrypt."""

    training: UUIDText
    attempt: int = Field(ge=0)
    members: tuple[Member, ...] = Field(min_length=1)
    committee: tuple[UUIDText, ...]
    threshold: int = Field(ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Roster:
        nodes = [member.node for member in self.members]
        if nodes != sorted(set(nodes)):
            raise ValueError("members must be distinct and in ascending order of node id")
        for what, values in self._what_is_ones_own():
            if len(set(values)) != len(values):
                raise ValueError(f"members must each have {what} of their own, got one twice")
        if list(self.committee) != sorted(set(self.committee)) or not set(self.committee) <= set(nodes):
            raise ValueError("committee must be distinct members in ascending order of node id")
        if len(self.committee) > MAX_COMMITTEE:
            raise ValueError(f"committee must have at most {MAX_COMMITTEE} members, got {len(self.committee)}")
        if self.threshold > len(self.committee):
            raise ValueError("threshold must not exceed the committee's size")
        return self

    def _what_is_ones_own(self) -> Iterator[tuple[str, list[str] | list[bytes]]]:
        """What two members must not share, or one party stands on the roster twice; keys by their bytes, since base64
        may write the same bytes in several ways.
        """
        acceptances = [member.acceptance.statement for member in self.members]
        sealing_keys = [accepted.sealing_key for accepted in acceptances if isinstance(accepted, Acceptance)]
        yield "a name", [member.name for member in self.members]
        yield "a signing key", [b64decode(member.signing_key) for member in self.members]
        yield "a sealing key", [b64decode(key) for key in sealing_keys]

    def digest(self) -> DigestHex:
        """SHA-256 of the canonical form, hex."""
        return canonical_digest(self)

    def member(self, node: str) -> Member | None:
        """The member with this id, if there is one."""
        return next((member for member in self.members if member.node == node), None)


def default_threshold(committee_size: int) -> int:
    """⌊2m/3⌋ + 1, at most m: safe against c ≤ 2t − m − 1 colluding members together with a lying server."""
    return min(committee_size, 2 * committee_size // 3 + 1)


def choose_committee(training: TrainingId, sealing_keys: Mapping[NodeId, str], size: int) -> tuple[NodeId, ...]:
    """The `size` nodes whose digest with the training's id and everybody's sealing key is smallest.

    The keys are made by the banks after the service has named the training, so that the service alone cannot look for
    an id under which the committee suits it. What remains: who accepts last, if the service shows it the others'
    acceptances, can try as many keys of its own as it has time for.

    Args:
        training: its id.
        sealing_keys: of every bank on the roster, as its acceptance has it.
        size: how many to choose.
    """
    accepted = sorted(sealing_keys.items())
    ranked = sorted(sealing_keys, key=lambda node: canonical_digest([training, accepted, node]))
    return tuple(sorted(ranked[:size]))
