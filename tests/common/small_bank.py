"""A bank in a hundred lines, from the protocol and crypto's member door alone: what the service's tests drive it with.

It checks nothing and keeps nothing on disk; the product's own node does both and is tested against the service as well.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

import crypto
from crypto.member import Ceremony, CommitteeKeyBuilder, Decryptor, Encryptor, SealingKey, SecretKey, deal
from learning.query import from_fixed_point, to_fixed_point
from protocol.aggregate import decode_aggregate, encode_aggregate
from protocol.history import contributors_digest, first_history, next_history
from protocol.ids import NodeId, TrainingId, sha256_hex, uuid_bytes
from protocol.messages import (
    Accepted,
    AppliedRound,
    ConfirmWork,
    ContributeWork,
    DealWork,
    EndedWork,
    Invitation,
    ReceiveWork,
    Refusal,
    ShareWork,
    VoteWork,
    WorkItem,
)
from protocol.plan import Plan, ProtectionLevel
from protocol.roster import Roster
from protocol.sealed_message import join_sealed, split_sealed
from protocol.signing import key_text, sign_statement
from protocol.statements import (
    Acceptance,
    ContributionStatement,
    Deal,
    ModelStatement,
    Receipt,
    ShareStatement,
    SignedStatement,
    Statement,
    Vote,
    deals_digest,
)

ModelT = TypeVar("ModelT", bound=BaseModel)


class Transport(Protocol):
    """Sends requests as one node."""

    def put_json(self, path: str, body: BaseModel | None, *, wait: float | None = None) -> Accepted: ...

    def put_bytes(
        self, path: str, data: bytes, statement: SignedStatement | None, *, wait: float | None = None
    ) -> Accepted: ...

    def get_json(self, path: str, model: type[ModelT]) -> ModelT: ...

    def get_bytes(self, path: str) -> bytes: ...


class SmallBank:
    """One bank in one training.

    Args:
        node: its id.
        key: its identity.
        transport: as this node.
        build: the algorithm of a plan's `learning`.
        data: the algorithm's bank-side data.
    """

    def __init__(
        self, node: str, key: Ed25519PrivateKey, transport: Transport, build: Callable[[Any], Any], data: Any
    ) -> None:
        self.node, self.key, self.transport, self._build, self._data = node, key, transport, build, data
        self.sealing = SealingKey.generate()
        self.plan: Plan | None = None
        self.roster: Roster | None = None
        self.round = 0
        self.refuses: str | None = None
        self.ended: EndedWork | None = None
        self.model: Any = None
        self.answered: list[str] = []
        self.spoil_shares = False
        # What was sent is sent again unchanged when an answer was lost.
        self._dealt: dict[int, tuple[dict[str, bytes], SignedStatement]] = {}
        self._contributed: dict[int, tuple[SignedStatement, bytes]] = {}

    @property
    def signing_key(self) -> str:
        return key_text(self.key.public_key())

    def sign(self, statement: Statement) -> SignedStatement:
        return sign_statement(self.key, statement)

    def perform(self, item: WorkItem, *, wait: float | None = None) -> Accepted:
        """Does one piece of work."""
        self.answered.append(item.do)
        path = f"trainings/{item.training}"
        match item:
            case Invitation():
                return self._answer(item, path, wait)
            case DealWork():
                return self._deal(item, path, wait)
            case ReceiveWork():
                return self._receive(item, path, wait)
            case ContributeWork():
                return self._contribute(item, path, wait)
            case VoteWork():
                self._catch_up(item.applied, path)
                contributors = tuple(signed.statement.node for signed in item.contributors)
                vote = Vote(
                    training=item.training, round=item.round, node=self.node, query=item.query, history=self.history,
                    contributors=contributors,
                )  # fmt: skip
                return self.transport.put_json(f"{path}/rounds/{item.round}/vote", self.sign(vote), wait=wait)
            case ShareWork():
                return self._share(item, path, wait)
            case ConfirmWork():
                self._catch_up(item.applied, path)
                self.model = self.algorithm.result(self.state)
                digest = self.model.digest().hex()
                statement = ModelStatement(training=item.training, node=self.node, history=self.history, model=digest)
                return self.transport.put_json(f"{path}/model", self.sign(statement), wait=wait)
            case EndedWork():
                self.ended = item
                return self.transport.put_json(f"{path}/farewell", None, wait=wait)

    def _answer(self, item: Invitation, path: str, wait: float | None) -> Accepted:
        if self.refuses is not None:
            return self.transport.put_json(f"{path}/refusal", Refusal(reason=self.refuses), wait=wait)
        self.plan = item.plan
        acceptance = Acceptance(
            training=item.training,
            node=self.node,
            plan=item.plan.digest(),
            sealing_key=base64.b64encode(self.sealing.public_bytes).decode(),
        )
        return self.transport.put_json(f"{path}/acceptance", self.sign(acceptance), wait=wait)

    def _ceremony(self, roster: Roster) -> Ceremony:
        protection = self.plan.protection
        parameters = crypto.derive(
            crypto.ParameterSpec(
                sum_bits=protection.sum_bits,
                max_contributors=len(roster.members),
                committee_size=len(roster.committee),
                threshold=roster.threshold,
                smudging_bits=protection.smudging_bits,
            )
        )
        return Ceremony(
            parameters=parameters,
            training=uuid_bytes(roster.training),
            dealers=tuple(uuid_bytes(member.node) for member in roster.members),
            committee=tuple(uuid_bytes(node) for node in roster.committee),
            attempt=roster.attempt,
        )

    def _deal(self, item: DealWork, path: str, wait: float | None) -> Accepted:
        ceremony = f"{path}/ceremony/{item.roster.attempt}"
        if item.roster.attempt not in self._dealt:
            self._dealt[item.roster.attempt] = self._make_deal(item)
        sealed, statement = self._dealt[item.roster.attempt]
        for node, message in sealed.items():
            self.transport.put_bytes(f"{ceremony}/sealed/{node}", message, None)
        return self.transport.put_json(f"{ceremony}/deal", statement, wait=wait)

    def _make_deal(self, item: DealWork) -> tuple[dict[str, bytes], SignedStatement]:
        self.roster = item.roster
        self.encrypted = item.plan.protection.level is ProtectionLevel.CKKS
        commitments, sealed = b"", {}
        if self.encrypted:
            self.ceremony = self._ceremony(item.roster)
            self.secret = SecretKey.generate(self.ceremony.parameters)
            keys = {
                uuid_bytes(member.node): base64.b64decode(member.acceptance.statement.sealing_key)
                for member in item.roster.members
                if member.node in item.roster.committee
            }
            dealt = deal(self.ceremony, uuid_bytes(self.node), self.secret, keys)
            commitments = dealt.commitments
            sealed = {node: join_sealed(dealt.sealed[uuid_bytes(node)], b"") for node in item.roster.committee}
        statement = Deal(
            training=item.training,
            attempt=item.roster.attempt,
            node=self.node,
            roster=item.roster.digest(),
            commitments=base64.b64encode(commitments).decode(),
            sealed={node: sha256_hex(message) for node, message in sealed.items()},
        )
        return sealed, self.sign(statement)

    def _receive(self, item: ReceiveWork, path: str, wait: float | None) -> Accepted:
        ceremony = f"{path}/ceremony/{item.attempt}"
        if self.encrypted:
            if self.node in self.roster.committee:
                builder = CommitteeKeyBuilder(self.ceremony, uuid_bytes(self.node), self.sealing)
                for signed in item.deals:
                    dealer = signed.statement.node
                    pieces, _ = split_sealed(self.transport.get_bytes(f"{ceremony}/sealed/{dealer}"))
                    builder.receive(uuid_bytes(dealer), base64.b64decode(signed.statement.commitments), pieces)
                self.decryptor = Decryptor(self.ceremony, uuid_bytes(self.node), builder.finish())
            self.encryptor = Encryptor(self.ceremony, uuid_bytes(self.node), self.secret)
        self.algorithm = self._build(self.plan.learning)
        self.state = self.algorithm.start()
        self.history = first_history(
            TrainingId(item.training), plan=self.plan.digest(), roster=self.roster.digest(),
            deals=deals_digest(item.deals),
        )  # fmt: skip
        self.round, self._cache = 0, {}
        receipt = Receipt(
            training=item.training,
            attempt=item.attempt,
            node=self.node,
            roster=self.roster.digest(),
            deals=deals_digest(item.deals),
        )
        return self.transport.put_json(f"{ceremony}/receipt", self.sign(receipt), wait=wait)

    def _catch_up(self, applied: AppliedRound | None, path: str) -> None:
        while applied is not None and self.round <= applied.round:
            latest = applied
            if latest.round != self.round:
                latest = self.transport.get_json(f"{path}/rounds/{self.round}/applied", AppliedRound)
            aggregate = (
                base64.b64decode(latest.aggregate)
                if latest.aggregate is not None
                else self.transport.get_bytes(f"{path}/rounds/{latest.round}/aggregate")
            )
            assert sha256_hex(aggregate) == latest.digest
            query = self.algorithm.next_query(self.state)
            assert query.digest().hex() == latest.query
            total = decode_aggregate(query, aggregate)
            self.state = self.algorithm.apply(self.state, query, from_fixed_point(query, total))
            named = contributors_digest([NodeId(node) for node in latest.contributors])
            self.history = next_history(
                self.history, latest.round, query=latest.query, contributors=named, aggregate=latest.digest
            )
            self.round += 1

    def _round_id(self, index: int, query: Any) -> crypto.RoundId:
        return crypto.RoundId(self.ceremony.parameters, self.ceremony.training, index, query.length)

    def contribution(self, item: ContributeWork) -> tuple[SignedStatement, bytes]:
        """The signed bytes of this bank's contribution."""
        query = self.algorithm.next_query(self.state)
        assert (item.round, item.query, item.history) == (self.round, query.digest().hex(), self.history)
        vector = to_fixed_point(query, self.algorithm.contribution(self.state, query, self._data, self._cache))
        if self.encrypted:
            data = self.encryptor.encrypt(self._round_id(item.round, query), vector)
        else:
            data = encode_aggregate(query, vector)
        statement = ContributionStatement(
            training=item.training,
            round=item.round,
            node=self.node,
            query=item.query,
            history=self.history,
            digest=sha256_hex(data),
            size_bytes=len(data),
        )
        return self.sign(statement), data

    def _contribute(self, item: ContributeWork, path: str, wait: float | None) -> Accepted:
        self._catch_up(item.applied, path)
        if item.round not in self._contributed:
            self._contributed = {item.round: self.contribution(item)}
        statement, data = self._contributed[item.round]
        return self.transport.put_bytes(f"{path}/rounds/{item.round}/contribution", data, statement, wait=wait)

    def _share(self, item: ShareWork, path: str, wait: float | None) -> Accepted:
        self._catch_up(item.applied, path)
        query = self.algorithm.next_query(self.state)
        contributors = [signed.statement.node for signed in item.contributors]
        banks = [uuid_bytes(node) for node in contributors]
        data = self.decryptor.share(self._round_id(item.round, query), banks, item.pieces)
        if self.spoil_shares:
            data = spoil(data, self.ceremony.parameters.residue_bytes)
        statement = ShareStatement(
            training=item.training,
            round=item.round,
            node=self.node,
            history=self.history,
            contributors=contributors_digest([NodeId(node) for node in contributors]),
            pieces=item.pieces,
            digest=sha256_hex(data),
            size_bytes=len(data),
        )
        return self.transport.put_bytes(
            f"{path}/rounds/{item.round}/shares/{item.assignment}", data, self.sign(statement), wait=wait
        )


def spoil(data: bytes, width: int) -> bytes:
    """The same message with its residues (of `width` bytes) rotated, under a right digest: a hostile member's share."""
    header = crypto.read_header(data)
    body = data[crypto.HEADER_BYTES :]
    body = body[width:] + body[:width]
    altered = type(header)(
        **{**{name: getattr(header, name) for name in header.__slots__}, "body_digest": bytes.fromhex(sha256_hex(body))}
    )
    return altered.to_bytes() + body
