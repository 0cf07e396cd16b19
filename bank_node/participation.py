"""The bank's side of one training: answers every piece of work, in the order check → record → release.

Whatever has left, or is about to, is on disk first: the acceptance, the deal, the journal's entries, the contribution's
bytes. The algorithm's state is not: it is replayed from the aggregates.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import structlog

from bank_node.ceremony import Ceremony
from bank_node.errors import ContributionLost, Halted, KeysLost, LogForked, Refused, ServiceRefused, StaleWork
from bank_node.node import Node
from bank_node.policy import ContributionRequest, PlanRequest, ShareRequest
from bank_node.registry import ModelEntry
from bank_node.round_check import check_agreement, check_contributors
from bank_node.running import Running
from bank_node.status import ACCEPTED, HALTED, MISSED, REFUSED
from bank_node.training_store import AttemptStore, TrainingStore
from learning.query import Query, to_fixed_point
from protocol.history import contributors_digest
from protocol.ids import NodeId, TrainingId, sha256_hex
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
from protocol.plan import Plan
from protocol.signing import sign_statement
from protocol.statements import (
    ContributionStatement,
    ModelStatement,
    ShareStatement,
    SignedStatement,
    Statement,
    Vote,
)
from protocol.states import TrainingState

log = structlog.get_logger("bank_node.participation")


class Participation:
    """One training.

    Args:
        node: the node's parts.
        training: the training's id.
    """

    def __init__(self, node: Node, training: TrainingId) -> None:
        self._node = node
        self._training = training
        self._store = TrainingStore(node.home.trainings / training, node.disk)
        self._ceremony = Ceremony(node, training, self._store)
        self._path = f"trainings/{training}"
        self._status = node.board.training(training)
        self._running: Running | None = None
        self._halted = self._store.halted()
        self._ended = self._store.ended() is not None

    def halt(self, reason: str) -> None:
        """Goes no further than to the training's end."""
        if self._halted is None:
            self._store.halt(reason)
            self._halted = reason
            self._enter(HALTED)
        self.destroy_keys()  # nothing that this bank may still do in the training needs them

    def destroy_keys(self) -> None:
        """Destroys this training's keys, in memory and on disk, before its end; the bank can answer no round of it."""
        self._close()
        self._store.destroy_keys()
        log.warning("training:keys-destroyed", training=self._training)

    def _enter(self, state: str) -> None:
        """Shows what this bank is doing now, before a request that may wait for long."""
        if self._status.state != state:
            log.info("training:entered", training=self._training, plan=self._status.plan, state=state)
            self._status.state = state
            self._node.board.write(at_once=True)

    def _close(self) -> None:
        """Overwrites the keys in memory, and lets the journal go."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def perform(self, item: WorkItem, *, wait_s: float | None) -> Accepted:  # noqa: C901, PLR0911  # one line a kind
        """Answers one piece of work; see `agent.Worker`."""
        if isinstance(item, EndedWork):
            return self._end(item, wait_s)
        if self._halted is not None:
            raise Halted(self._halted)
        if self._ended:
            raise KeysLost(f"training {self._training}", expected="its end", got=f"work {item.do!r} after the end")
        match item:
            case Invitation():
                return self._answer(item, wait_s)
            case DealWork():
                return self._deal(item, wait_s)
            case ReceiveWork():
                return self._receive(item, wait_s)
            case ContributeWork():
                return self._contribute(item, wait_s)
            case VoteWork():
                return self._vote(item, wait_s)
            case ShareWork():
                return self._share(item, wait_s)
            case ConfirmWork():
                return self._confirm(item, wait_s)

    def _answer(self, work: Invitation, wait_s: float | None) -> Accepted:
        plan = work.plan
        self._status.plan, self._status.protection = plan.name, plan.protection.level.value
        try:
            if self._store.acceptance() is None:
                self._node.policy.plan.check(PlanRequest(plan))
                self._node.ledger.check(self._training, plan)
                most = self._node.policy.settings.max_rows
                for warning in self._node.data.check(plan, max_rows=most, training=self._training):
                    log.warning("invitation:little-to-learn-from", training=self._training, what=warning)
            acceptance = self._ceremony.accept(plan)
        except Refused as refusal:
            self._status.complaint = refusal.in_full()
            self._enter(REFUSED)
            log.warning("invitation:refused", training=self._training, why=refusal.in_full())
            return self._node.client.put_json(
                f"{self._path}/refusal", Refusal(reason=str(refusal)[:500]), wait_s=wait_s
            )
        self._enter(ACCEPTED)
        try:
            return self._node.client.put_json(f"{self._path}/acceptance", acceptance, wait_s=wait_s)
        except ServiceRefused:
            self._enter(MISSED)
            raise

    def _deal(self, work: DealWork, wait_s: float | None) -> Accepted:
        self._close()  # a ceremony reads the journal, and rounds that follow it have other keys
        dealt = self._ceremony.deal(work)
        self._status.complaint = None
        self._enter(TrainingState.KEY_CEREMONY.value)
        ceremony = f"{self._path}/ceremony/{work.roster.attempt}"
        for recipient, sealed in dealt.sealed.items():
            self._node.client.put_bytes(f"{ceremony}/sealed/{recipient}", base64.b64decode(sealed))
        return self._node.client.put_json(f"{ceremony}/deal", dealt.deal, wait_s=wait_s)

    def _receive(self, work: ReceiveWork, wait_s: float | None) -> Accepted:
        ceremony = f"{self._path}/ceremony/{work.attempt}"
        receipt = self._ceremony.receive(
            work, lambda dealer: self._node.client.get_bytes(f"{ceremony}/sealed/{dealer}")
        )
        return self._node.client.put_json(f"{ceremony}/receipt", receipt, wait_s=wait_s)

    def _contribute(self, work: ContributeWork, wait_s: float | None) -> Accepted:
        running = self._catch_up(work.applied, work.round)
        query = running.learner.require_query(work.round, query=work.query, history=work.history)
        kept = self._store.outbox.get(work.round)
        if kept is None:
            # check
            if running.has_contributed(work.round):
                raise ContributionLost(
                    running.learner.where(work.round),
                    expected="the contribution that was recorded",
                    got="no such bytes in the outbox",
                )
            self._node.policy.contribution.check(
                ContributionRequest(self._training, work.round, self._node.usage.rounds_today())
            )
            contribution = self._make_contribution(running, query, work.round)
            own = ContributionStatement(
                training=self._training,
                round=work.round,
                node=self._node.identity.node,
                query=work.query,
                history=running.learner.history,
                digest=sha256_hex(contribution),
                size_bytes=len(contribution),
            )
            statement = self._sign(own)
            self._node.usage.count()
            self._store.outbox.put(statement, contribution)
        else:
            statement, contribution = kept
            own = statement.expect(ContributionStatement)
            if (own.query, own.history) != (work.query, running.learner.history):
                raise LogForked(
                    running.learner.where(work.round),
                    expected="the query and history for which this bank has made its contribution",
                    got="others",
                )
        # record
        self._node.ledger.spend(self._training, running.plan)
        running.record_contribution(work.round, own.digest)
        running.sent = statement
        # release
        accepted = self._node.client.put_bytes(
            f"{self._path}/rounds/{work.round}/contribution", contribution, statement=statement, sha256=own.digest,
            wait_s=wait_s,
        )  # fmt: skip
        self._status.contributions += 1
        return accepted

    def _make_contribution(self, running: Running, query: Query, round_index: int) -> bytes:
        self._status.unit = query.name
        self._enter(TrainingState.RUNNING.value)
        with self._status.timed("compute"):
            data = self._node.data.prepared(self._training, running.plan, running.protection.entity_key)
            vector = to_fixed_point(query, running.contribution(query, data))
        with self._status.timed("encrypt"):
            return running.protection.protect(query, round_index, vector)

    def _vote(self, work: VoteWork, wait_s: float | None) -> Accepted:
        running = self._catch_up(work.applied, work.round)
        running.learner.require_query(work.round, query=work.query)
        contributors = self._check_contributors(running, work.round, work.contributors)
        # record
        running.record_contributors(work.round, contributors)
        # release
        vote = self._sign(
            Vote(
                training=self._training,
                round=work.round,
                node=self._node.identity.node,
                query=work.query,
                history=running.learner.history,
                contributors=contributors,
            )
        )
        return self._node.client.put_json(f"{self._path}/rounds/{work.round}/vote", vote, wait_s=wait_s)

    def _share(self, work: ShareWork, wait_s: float | None) -> Accepted:
        running = self._catch_up(work.applied, work.round)
        query = running.learner.require_query(work.round, query=work.query)
        # check
        contributors = self._check_contributors(running, work.round, work.contributors)
        self._node.policy.share.check(ShareRequest(self._training, work.round, len(contributors)))
        if running.plan.protection.agreement:
            check_agreement(
                work.votes,
                training=self._training,
                round_index=work.round,
                plan=running.plan,
                roster=running.roster,
                query=work.query,
                history=running.learner.history,
                contributors=contributors,
            )
        # record
        running.record_contributors(work.round, contributors)
        # release
        with self._status.timed("decrypt"):
            share = running.protection.share(query, work.round, contributors, work.pieces)
        own = ShareStatement(
            training=self._training,
            round=work.round,
            node=self._node.identity.node,
            history=running.learner.history,
            contributors=contributors_digest(contributors),
            pieces=work.pieces,
            digest=sha256_hex(share),
            size_bytes=len(share),
        )
        accepted = self._node.client.put_bytes(
            f"{self._path}/rounds/{work.round}/shares/{work.assignment}", share, statement=self._sign(own),
            sha256=own.digest, wait_s=wait_s, meanwhile=lambda: self._prepare(running, query, work.round + 1),
        )  # fmt: skip
        self._status.shares += 1
        return accepted

    def _prepare(self, running: Running, query: Query, round_index: int) -> None:
        """While the others' shares are awaited: the next round mostly asks for as much as this one."""
        with self._status.timed("encrypt"):
            running.protection.prepare(query, round_index)

    def _confirm(self, work: ConfirmWork, wait_s: float | None) -> Accepted:
        running = self._catch_up(work.applied, work.rounds)
        self._enter(TrainingState.EVALUATING.value)
        kept = self._store.model()
        if kept is None:
            result = running.learner.result()
            kept = (result.digest().hex(), result.to_bytes())
            self._store.keep_model(*kept)
        self._status.model = kept[0]
        statement = self._sign(
            ModelStatement(
                training=self._training,
                node=self._node.identity.node,
                history=running.learner.history,
                model=kept[0],
            )
        )
        return self._node.client.put_json(f"{self._path}/model", statement, wait_s=wait_s)

    def _end(self, work: EndedWork, wait_s: float | None) -> Accepted:
        """Registers what was released, destroys the keys, and says farewell."""
        kept, plan = self._store.model(), self._store.plan()
        latest = self._store.latest_attempt()
        if not self._ended:
            if work.model is not None and kept is not None and plan is not None and latest is not None:
                if kept[0] != work.model:
                    raise LogForked(
                        f"end of training {self._training}",
                        expected="the model that this bank has derived",
                        got="another model's digest",
                    )
                self._register(plan, *kept, self._store.attempt(latest).sealed(AttemptStore.ENTITY))
            self._close()
            self._node.data.forget(self._training)
            self._store.end(work.state.value, work.reason)
            self._ended = True
        self._status.reason = work.reason
        self._enter(work.state.value)
        return self._node.client.put_json(f"{self._path}/farewell", None, wait_s=wait_s)

    def _register(self, plan: Plan, digest: str, model: bytes, entity_key: bytes | None) -> None:
        entry = ModelEntry(
            digest=digest,
            sha256=sha256_hex(model),
            training=self._training,
            plan=plan,
            rounds=self._status.rounds,
            released_at_s=self._node.clock(),
        )
        self._node.registry.add(entry, model, entity_key)

    def _check_contributors(
        self, running: Running, round_index: int, statements: Sequence[SignedStatement]
    ) -> tuple[NodeId, ...]:
        if round_index != running.learner.round or running.learner.query is None:
            raise StaleWork(
                running.learner.where(round_index), expected=f"round {running.learner.round}", got=str(round_index)
            )
        return check_contributors(
            statements,
            training=self._training,
            round_index=round_index,
            plan=running.plan,
            roster=running.roster,
            query=running.learner.query_digest,
            history=running.learner.history,
            own=running.sent,
        )

    def _sign(self, statement: Statement) -> SignedStatement:
        return sign_statement(self._node.identity.signing_key, statement)

    def _catch_up(self, applied: AppliedRound | None, round_index: int) -> Running:
        """The training's state up to a round: from the log, then from what the service says of the rounds missed."""
        if self._running is None:
            self._running = Running.open(self._node, self._training, self._store)
        running = self._running
        while running.learner.round < round_index:
            number = running.learner.round
            known = applied if applied is not None and applied.round == number else None
            latest = known or self._node.client.applied(self._training, number)
            if latest.aggregate is not None:
                aggregate = base64.b64decode(latest.aggregate)
            else:
                aggregate = self._node.client.get_bytes(
                    f"{self._path}/rounds/{number}/aggregate", most_bytes=running.learner.aggregate_bytes
                )
            with self._status.timed("apply"):
                running.apply(latest, aggregate)
        if applied is not None and applied.round < running.learner.round:
            running.learner.check_seen(applied)
        self._status.rounds = running.learner.round
        return running
