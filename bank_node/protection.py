"""Plan and roster → keys: what the protection level means for ceremony, contribution and share."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

import crypto
from bank_node.errors import KeysLost, RosterChanged
from crypto.errors import DealInvalid, NotHeld, UnsealFailed
from crypto.member import (
    Ceremony,
    CommitteeKey,
    CommitteeKeyBuilder,
    Decryptor,
    Encryptor,
    SealingKey,
    SecretKey,
    deal,
    seal,
)
from learning.query import Query
from protocol.aggregate import encode_aggregate
from protocol.ids import NodeId, uuid_bytes
from protocol.plan import Plan, ProtectionLevel
from protocol.roster import Roster
from protocol.statements import Acceptance

if TYPE_CHECKING:
    from bank_node.training_store import AttemptStore
    from bank_node.vault import Vault

_ENTITY_KEY_BYTES = 32
_ENTITY_INFO = b"fraud-consortium/entity-key/v1\0"


@lru_cache(maxsize=8)
def _derive(spec: crypto.ParameterSpec) -> crypto.Parameters:
    return crypto.derive(spec)


def parameters_for(plan: Plan, roster: Roster) -> crypto.Parameters:
    """The encryption parameters of a training; the service derives the same."""
    protection = plan.protection
    return _derive(
        crypto.ParameterSpec(
            sum_bits=protection.sum_bits, max_contributors=len(roster.members), committee_size=len(roster.committee),
            threshold=roster.threshold, smudging_bits=protection.smudging_bits,
        )
    )  # fmt: skip


def context_of(plan: Plan, roster: Roster) -> Ceremony:
    """What the training's keys are bound to."""
    return Ceremony(
        parameters=parameters_for(plan, roster), training=uuid_bytes(roster.training),
        dealers=tuple(uuid_bytes(member.node) for member in roster.members),
        committee=tuple(uuid_bytes(node) for node in roster.committee), attempt=roster.attempt,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DealtKeys:
    """What dealing has made.

    Attributes:
        pieces: recipient → sealed pieces.
        commitments: public.
        secret: the bank's own key, sealed for its disk; None under ``none``.
    """

    pieces: dict[str, bytes]
    commitments: bytes
    secret: bytes | None = field(repr=False)


class DealUnusable(Exception):  # says nothing of who dealt it: `Ceremony` knows, and raises `DealRefused`
    """What a dealer has sealed must not be used."""

    def __init__(self, *, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class CeremonyKeys(Protocol):
    """Deals and receives in one attempt."""

    def deal(self) -> DealtKeys:
        """Makes this bank's key and cuts it up."""

    def new_entity_key(self) -> dict[str, bytes]:
        """Makes the banks' shared identifier key: recipient → sealed key."""

    def receive(self, dealer: NodeId, commitments: bytes, pieces: bytes) -> None:
        """Opens and checks what a dealer sealed to this bank; no bytes if it sealed nothing.

        Raises:
            DealUnusable: it must not be used.
        """

    def open_entity_key(self, dealer: NodeId, sealed: bytes) -> bytes:
        """Opens the shared identifier key.

        Raises:
            DealUnusable: it does not open.
        """

    def finish(self) -> bytes | None:
        """This bank's pieces, sealed for its disk; None if it is not on the committee."""


class _EntityKeys:
    """The shared identifier key is sealed in the same way under every protection level."""

    def __init__(self, plan: Plan, roster: Roster, node: NodeId, key: SealingKey) -> None:
        self._plan, self._roster, self._node, self._key = plan, roster, node, key

    def _info(self, dealer: str, recipient: str) -> bytes:
        return _ENTITY_INFO + self._roster.digest().encode() + dealer.encode() + recipient.encode()

    def _sealing_keys(self) -> dict[str, bytes]:
        return {
            member.node: base64.b64decode(member.acceptance.expect(Acceptance).sealing_key)
            for member in self._roster.members
        }

    def new_entity_key(self) -> dict[str, bytes]:
        """Makes the key and seals it to every member."""
        key = os.urandom(_ENTITY_KEY_BYTES)
        return {
            node: seal(public, key, info=self._info(self._node, node)) for node, public in self._sealing_keys().items()
        }

    def open_entity_key(self, dealer: NodeId, sealed: bytes) -> bytes:
        """Opens the key that the roster's first member has sealed."""
        try:
            key = self._key.open(sealed, info=self._info(dealer, self._node))
        except UnsealFailed as error:
            raise DealUnusable(expected="an entity key sealed to this bank", got="another, or none") from error
        if len(key) != _ENTITY_KEY_BYTES:
            raise DealUnusable(expected=f"an entity key of {_ENTITY_KEY_BYTES} bytes", got=str(len(key)))
        return key


class _PlainKeys(_EntityKeys):
    """Under ``none`` the same messages go round without keys."""

    def deal(self) -> DealtKeys:
        return DealtKeys({}, b"", None)

    def receive(self, dealer: NodeId, commitments: bytes, pieces: bytes) -> None:
        del dealer
        if commitments or pieces:
            raise DealUnusable(expected="no pieces under protection 'none'", got="some")

    def finish(self) -> bytes | None:
        return None


class _ThresholdKeys(_EntityKeys):
    """Under ``ckks``."""

    def __init__(self, vault: Vault, plan: Plan, roster: Roster, node: NodeId, key: SealingKey) -> None:
        super().__init__(plan, roster, node, key)
        self._vault = vault
        self._context = context_of(plan, roster)
        on_committee = node in roster.committee
        self._builder = CommitteeKeyBuilder(self._context, uuid_bytes(node), key) if on_committee else None

    def deal(self) -> DealtKeys:
        secret = SecretKey.generate(self._context.parameters)
        public = self._sealing_keys()
        committee = {uuid_bytes(node): public[node] for node in self._roster.committee}
        dealt = deal(self._context, uuid_bytes(self._node), secret, committee)
        pieces = {node: dealt.sealed[uuid_bytes(node)] for node in self._roster.committee}
        sealed = self._vault.seal(secret.to_bytes())
        secret.destroy()
        return DealtKeys(pieces, dealt.commitments, sealed)

    def receive(self, dealer: NodeId, commitments: bytes, pieces: bytes) -> None:
        if self._builder is None:
            if pieces:
                raise DealUnusable(expected="no pieces for a bank off the committee", got="some")
            return
        try:
            self._builder.receive(uuid_bytes(dealer), commitments, pieces)
        except DealInvalid as error:
            raise DealUnusable(expected=error.expected, got=error.got) from error

    def finish(self) -> bytes | None:
        if self._builder is None:
            return None
        key = self._builder.finish()
        sealed = self._vault.seal(key.to_bytes())
        key.destroy()
        return sealed


def ceremony_keys(vault: Vault, plan: Plan, roster: Roster, node: NodeId, key: SealingKey) -> CeremonyKeys:
    """What deals and receives under the plan's protection."""
    if plan.protection.level is ProtectionLevel.NONE:
        return _PlainKeys(plan, roster, node, key)
    return _ThresholdKeys(vault, plan, roster, node, key)


class Protection:
    """Protects contributions and makes shares in the rounds of one training.

    Args:
        vault: opens what the attempt has kept.
        plan: the plan.
        roster: the pinned roster.
        node: this bank.
        attempt: where its keys lie, sealed.
        threads: for encryption.

    Raises:
        KeysLost: the keys are not there.
    """

    def __init__(
        self, vault: Vault, plan: Plan, roster: Roster, node: NodeId, attempt: AttemptStore, *, threads: int
    ) -> None:
        self._vault, self._attempt, self._where = vault, attempt, f"training {roster.training}"
        self._encryptor: Encryptor | None = None
        self._decryptor: Decryptor | None = None
        self._committee_key: CommitteeKey | None = None
        self._context: Ceremony | None = None
        self._in_clear = plan.protection.level is ProtectionLevel.NONE
        if self._in_clear:
            return
        self._context = context = context_of(plan, roster)
        secret = SecretKey.from_bytes(context.parameters, self._open(attempt.SECRET))
        self._encryptor = Encryptor(context, uuid_bytes(node), secret, threads=threads)
        secret.destroy()  # the encryptor has it in its own form
        if node in roster.committee:
            key = CommitteeKey.from_bytes(context, uuid_bytes(node), self._open(attempt.COMMITTEE))
            self._committee_key, self._decryptor = key, Decryptor(context, uuid_bytes(node), key, threads=threads)

    def destroy(self) -> None:
        """Overwrites the keys in memory and drops what was computed from them: the training is over here.

        As far as Python can: what a library or the interpreter has copied is only freed.
        """
        if self._committee_key is not None:
            self._committee_key.destroy()
        self._committee_key = self._encryptor = self._decryptor = None
        self._context = None

    def _open(self, name: str) -> bytes:
        sealed = self._attempt.sealed(name)
        if sealed is None:
            raise KeysLost(self._where, expected=f"the keys of this training ({name})", got="none on this node")
        return self._vault.unseal(sealed)

    def entity_key(self) -> bytes | None:
        """The banks' shared identifier key, if the training has one."""
        sealed = self._attempt.sealed(self._attempt.ENTITY)
        return None if sealed is None else self._vault.unseal(sealed)

    def _round_id(self, context: Ceremony, query: Query, round_index: int) -> crypto.RoundId:
        return crypto.RoundId(context.parameters, context.training, round_index, query.length)

    def prepare(self, query: Query, round_index: int) -> None:
        """Makes a contribution's masks ahead of time, if they are few: the round may turn out to ask for another
        length, for which they are of no use.
        """
        if self._encryptor is None or self._context is None:
            return
        round_id = self._round_id(self._context, query, round_index)
        if round_id.chunks == 1:
            self._encryptor.prepare(round_id)

    def protect(self, query: Query, round_index: int, vector: NDArray[np.int64]) -> bytes:
        """The contribution's bytes: encrypted, or under ``none`` the fixed-point vector itself.

        Args:
            query: the round's.
            round_index: its number.
            vector: int64, shape (query.length,), in units of the resolution.

        Raises:
            KeysLost: the keys are destroyed.
        """
        if self._in_clear:
            return encode_aggregate(query, vector)
        if self._encryptor is None or self._context is None:
            raise KeysLost(self._where, expected="the keys of this training", got="destroyed ones")
        return self._encryptor.encrypt(self._round_id(self._context, query, round_index), vector)

    def share(self, query: Query, round_index: int, contributors: Sequence[NodeId], pieces: Sequence[int]) -> bytes:
        """This member's decryption share for a contributor set.

        Raises:
            KeysLost: this bank holds no pieces.
            RosterChanged: it is asked for pieces that it does not hold.
        """
        if self._decryptor is None or self._context is None:
            raise KeysLost(self._where, expected="a member of the decryption committee", got="a bank that is none")
        banks = [uuid_bytes(node) for node in contributors]
        try:
            return self._decryptor.share(self._round_id(self._context, query, round_index), banks, pieces)
        except NotHeld as error:
            raise RosterChanged(self._where, expected=error.expected, got=error.got) from error
