"""The bank's side of the key ceremony: acceptance, deal, receipt. Everything made is kept before it is sent, and a
repetition sends the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bank_node.errors import DealRefused, KeysLost, RosterChanged, StaleWork
from bank_node.node import Node
from bank_node.protection import CeremonyKeys, DealUnusable
from bank_node.roster_check import check_roster
from bank_node.training_store import AttemptStore, StoredDeal, TrainingStore
from protocol.errors import SealedMessageMalformed, StatementInvalid
from protocol.ids import NodeId, TrainingId, sha256_hex
from protocol.messages import DealWork, ReceiveWork
from protocol.plan import Plan
from protocol.roster import Member, Roster
from protocol.sealed_message import join_sealed, split_sealed
from protocol.signing import key_from_text, sign_statement, verify_statement
from protocol.statements import Acceptance, Deal, Receipt, SignedStatement, deals_digest

#: Kind of algorithm whose banks share a key that hashes entities; the roster's first member makes it.
ENTITY_KEY_KINDS = frozenset({"entity_tables"})
ENTITY_KEY_BYTES = 32

#: `GET …/sealed/{dealer}` for a training and attempt.
FetchSealed = Callable[[str], bytes]


def needs_entity_key(plan: Plan) -> bool:
    """True if the plan's algorithm hashes entities with a key that the banks share."""
    return plan.learning.get("kind") in ENTITY_KEY_KINDS


class Ceremony:
    """Answers for one training.

    Args:
        node: the node's parts.
        training: the training's id.
        store: its durable state.
    """

    def __init__(self, node: Node, training: TrainingId, store: TrainingStore) -> None:
        self._node = node
        self._training = training
        self._store = store

    def accept(self, plan: Plan) -> SignedStatement:
        """The bank's acceptance of a plan; the one that was made before, if there is one.

        Raises:
            RosterChanged: the bank has accepted another plan for this training.
        """
        kept, pinned = self._store.acceptance(), self._store.plan()
        if kept is not None and pinned is not None:
            if pinned.digest() != plan.digest():
                raise RosterChanged(f"training {self._training}", expected="the plan accepted", got="another plan")
            return kept
        sealing = self._node.vault.new_sealing_key()
        acceptance = sign_statement(
            self._node.identity.signing_key,
            Acceptance(
                training=self._training,
                node=self._node.identity.node,
                plan=plan.digest(),
                sealing_key=base64.b64encode(sealing.public_bytes).decode(),
            ),
        )
        self._store.keep_acceptance(plan, sealing.sealed, acceptance)
        return acceptance

    def deal(self, work: DealWork) -> StoredDeal:
        """The bank's deal for a roster: check → pin → make → keep.

        Raises:
            RosterChanged: the roster is not what it should be, or not the one pinned, or comes after rounds were
                answered, or a bank on it is not who it was.
            UnlistedBank: the policy's table of banks has not one of them.
            StaleWork: an attempt that is over.
        """
        plan, acceptance = self._accepted()
        roster = work.roster
        latest = self._store.latest_attempt()
        if latest is not None and roster.attempt < latest:
            raise StaleWork(
                f"key ceremony of training {self._training}", expected=f"attempt {latest}", got=str(roster.attempt)
            )
        attempt = self._store.attempt(roster.attempt)
        # check
        if work.plan.digest() != plan.digest():
            raise RosterChanged(f"training {self._training}", expected="the plan accepted", got="another plan")
        self._check_pinned(attempt, roster, began=latest is not None)
        check_roster(
            roster,
            training=self._training,
            plan=plan,
            node=self._node.identity.node,
            own_acceptance=acceptance,
            policy=self._node.policy.roster,
        )
        self._node.banks.check(roster, self._node.identity)
        # pin
        self._node.banks.remember(roster, self._node.identity, now_s=self._node.clock())
        self._node.board.status.unlisted_banks = self._node.banks.unlisted()
        if attempt.roster() is None:
            attempt.pin_roster(roster)
            if latest is not None:
                self._store.attempt(latest).destroy_keys()
        return attempt.deal() or self._make_deal(plan, roster, attempt)

    def receive(self, work: ReceiveWork, fetch: FetchSealed) -> SignedStatement:
        """Opens, checks and keeps what was sealed to this bank; returns the receipt.

        Raises:
            RosterChanged: a deal does not verify, or is for another roster, or is missing, or its bytes are others.
            DealRefused: a dealer's deal cannot be used.
            StaleWork: an attempt that is over.
            KeysLost: this bank has no keys for the attempt.
        """
        plan, _ = self._accepted()
        where = f"key ceremony of training {self._training}"
        if work.attempt != self._store.latest_attempt():
            raise StaleWork(where, expected=f"attempt {self._store.latest_attempt()}", got=str(work.attempt))
        attempt = self._store.attempt(work.attempt)
        kept, roster = attempt.receipt(), attempt.roster()
        if kept is not None:
            return kept
        if roster is None or attempt.deal() is None:
            raise KeysLost(where, expected="a deal of this bank's own", got="none")
        deals = self._check_deals(where, work, roster)
        keys = self._keys(plan, roster)
        entity_key: bytes | None = None
        for member in roster.members:
            first = member == roster.members[0] and needs_entity_key(plan)
            with _blaming(member, f"{where}, attempt {roster.attempt}"):
                opened = self._open_deal(where, deals[member.node], keys, fetch, with_entity_key=first)
            entity_key = opened or entity_key
        return self._keep_receipt(attempt, roster, keys, entity_key, deals_digest(work.deals))

    def _open_deal(
        self, where: str, deal: Deal, keys: CeremonyKeys, fetch: FetchSealed, *, with_entity_key: bool
    ) -> bytes | None:
        """Takes in one dealer's pieces; returns the entity key, if this dealer owes it."""
        dealer, sealed = NodeId(deal.node), deal.sealed.get(self._node.identity.node)
        message = join_sealed(b"", b"") if sealed is None else fetch(dealer)
        if sealed is not None and sha256_hex(message) != sealed:
            raise RosterChanged(where, expected="the sealed message that its dealer signed", got="other bytes")
        pieces, sealed_entity = split_sealed(message)
        keys.receive(dealer, _commitments(deal), pieces)
        return keys.open_entity_key(dealer, sealed_entity) if with_entity_key else None

    def _accepted(self) -> tuple[Plan, SignedStatement]:
        plan, acceptance = self._store.plan(), self._store.acceptance()
        if plan is None or acceptance is None:
            raise KeysLost(f"training {self._training}", expected="an acceptance of this bank's own", got="none")
        return plan, acceptance

    def _check_pinned(self, attempt: AttemptStore, roster: Roster, *, began: bool) -> None:
        where = f"roster of training {self._training}, attempt {roster.attempt}"
        pinned = attempt.roster()
        if pinned is not None:
            if pinned.digest() != roster.digest():
                raise RosterChanged(where, expected="the roster that was pinned", got="another one")
        elif began and self._node.vault.has_answered(self._store.journal_path):
            raise RosterChanged(where, expected="no new ceremony once rounds were answered", got="one")

    def _keys(self, plan: Plan, roster: Roster) -> CeremonyKeys:
        sealing = self._store.sealing_key()
        if sealing is None:
            raise KeysLost(f"training {self._training}", expected="the sealing key of this training", got="none")
        return self._node.vault.ceremony_keys(plan, roster, self._node.identity.node, sealing)

    def _make_deal(self, plan: Plan, roster: Roster, attempt: AttemptStore) -> StoredDeal:
        keys = self._keys(plan, roster)
        dealt = keys.deal()
        first = roster.members[0].node == self._node.identity.node
        entity = keys.new_entity_key() if first and needs_entity_key(plan) else {}
        sealed = {
            node: join_sealed(dealt.pieces.get(node, b""), entity.get(node, b""))
            for node in sorted(dealt.pieces.keys() | entity.keys())
        }
        statement = sign_statement(
            self._node.identity.signing_key,
            Deal(
                training=self._training,
                attempt=roster.attempt,
                node=self._node.identity.node,
                roster=roster.digest(),
                commitments=base64.b64encode(dealt.commitments).decode(),
                sealed={node: sha256_hex(message) for node, message in sealed.items()},
            ),
        )
        # The secret is kept before the deal: a deal that left without it could never be used.
        if dealt.secret is not None:
            attempt.keep_sealed(AttemptStore.SECRET, dealt.secret)
        stored = StoredDeal(
            deal=statement, sealed={node: base64.b64encode(message).decode() for node, message in sealed.items()}
        )
        attempt.keep_deal(stored)
        return stored

    def _check_deals(self, where: str, work: ReceiveWork, roster: Roster) -> dict[str, Deal]:
        """Every member's deal, in roster order: verified, of this attempt, for the pinned roster."""
        deals: dict[str, Deal] = {}
        if len(work.deals) != len(roster.members):
            raise RosterChanged(where, expected=f"{len(roster.members)} deals", got=str(len(work.deals)))
        for member, signed in zip(roster.members, work.deals, strict=True):
            try:
                deal = verify_statement(signed, Deal, key_from_text(member.signing_key))
            except StatementInvalid as error:
                raise RosterChanged(where, expected=f"{member.name}'s deal", got=error.got) from error
            if (deal.training, deal.attempt, deal.node, deal.roster) != (
                self._training,
                roster.attempt,
                member.node,
                roster.digest(),
            ):
                raise RosterChanged(where, expected=f"{member.name}'s deal for the pinned roster", got="another deal")
            deals[member.node] = deal
        return deals

    def _keep_receipt(
        self, attempt: AttemptStore, roster: Roster, keys: CeremonyKeys, entity_key: bytes | None, deals: str
    ) -> SignedStatement:
        committee = keys.finish()
        if committee is not None:
            attempt.keep_sealed(AttemptStore.COMMITTEE, committee)
        if entity_key is not None:
            attempt.keep_sealed(AttemptStore.ENTITY, self._node.vault.seal(entity_key))
        receipt = sign_statement(
            self._node.identity.signing_key,
            Receipt(
                training=self._training,
                attempt=roster.attempt,
                node=self._node.identity.node,
                roster=roster.digest(),
                deals=deals,
            ),
        )
        attempt.keep_receipt(receipt)
        return receipt


def _commitments(deal: Deal) -> bytes:
    try:
        return base64.b64decode(deal.commitments, validate=True)
    except ValueError as error:
        raise DealUnusable(expected="commitments in base64", got="other characters") from error


@contextmanager
def _blaming(dealer: Member, where: str) -> Iterator[None]:
    """What is wrong with a deal is its dealer's doing, and is said to be."""
    try:
        yield
    except (DealUnusable, SealedMessageMalformed) as error:
        raise DealRefused(
            where, dealer=dealer.node, name=dealer.name, expected=error.expected, got=error.got
        ) from error
