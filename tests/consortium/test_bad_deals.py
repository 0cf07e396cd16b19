"""Dealers that deal badly, members that say so falsely, and deals that are not the same for everyone."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import select

import crypto
from bank_node.errors import LogForked
from bank_node.learner import Learner
from bank_node.round_check import check_contributors
from consortium.trainings.complaints import accept_complaint
from consortium.trainings.errors import NotOnRoster
from consortium.trainings.service import deals_of
from consortium.trainings.tables import CeremonyStep, TrainingEventRow
from crypto.errors import CryptoError
from crypto.member import deal
from protocol.ids import sha256_hex, uuid_bytes
from protocol.messages import Accepted, Complaint, ReceiveWork
from protocol.sealed_message import join_sealed
from protocol.statements import Deal, deals_digest
from protocol.states import TrainingState
from tests.common.tables_learning import build, expected_model
from tests.consortium.test_training_thread import Consortium


def in_ceremony(tmp_path, **options):
    """Five banks of which all have dealt and nobody has received yet."""
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks", **options)
    consortium.until(training, TrainingState.KEY_CEREMONY)
    return consortium, training


def complain(consortium, training, who, about, reason="its pieces do not open"):
    """A bank complains about another's deal."""
    complaint = Complaint(reason=reason, about=consortium.banks[about].node)
    consortium.banks[who].transport.put_json(f"trainings/{training}/complaint", complaint)


def struck(consortium, training):
    """Number of the bank → why."""
    with consortium.service.runtime.db.reading("test") as s:
        events = s.scalars(
            select(TrainingEventRow).where(TrainingEventRow.training == training, TrainingEventRow.kind == "struck")
        )
        by_node = {event.node: event.detail for event in events}
    return {number: by_node[bank.node] for number, bank in enumerate(consortium.banks) if bank.node in by_node}


def sealing_junk(bank, victim):
    """Makes a bank seal to one recipient what that one cannot open."""
    make = bank._make_deal

    def bad(item):
        sealed, signed = make(item)
        sealed[victim] = join_sealed(bytes(len(sealed[victim]) - 4), b"")
        named = signed.statement.sealed | {victim: sha256_hex(sealed[victim])}
        return sealed, bank.sign(signed.statement.model_copy(update={"sealed": named}))

    bank._make_deal = bad


def test_a_dealer_that_seals_junk_to_one_member_goes_with_it_at_once_and_the_others_train(tmp_path):
    consortium, training = in_ceremony(tmp_path)
    dealer, victim = 3, 1
    sealing_junk(consortium.banks[dealer], consortium.banks[victim].node)
    for bank in consortium.banks:  # all deal
        for item in bank.transport.work().items:
            bank.perform(item)
    (receive,) = consortium.banks[victim].transport.work().items
    with pytest.raises(CryptoError):
        consortium.banks[victim].perform(receive)
    complain(consortium, training, victim, dealer)
    assert consortium.training(training).attempt == 1  # no deadline has passed
    reason = "bank-1 cannot take the deal of bank-3: its pieces do not open"
    assert struck(consortium, training) == {dealer: reason, victim: reason}
    assert reason in consortium.training(training).reason
    ended = consortium.finish(training)
    assert ended.model_digest == expected_model([0, 2, 4])


def test_who_complains_falsely_strikes_itself_and_can_strike_no_second(tmp_path):
    consortium, training = in_ceremony(tmp_path)
    complain(consortium, training, 0, 1)
    complain(consortium, training, 0, 1)  # an answer that was lost
    assert (consortium.training(training).attempt, set(struck(consortium, training))) == (1, {0, 1})
    complain(consortium, training, 0, 2, "nor does that of another")
    assert (consortium.training(training).attempt, set(struck(consortium, training))) == (1, {0, 1})
    assert consortium.finish(training).model_digest == expected_model([2, 3, 4])


def test_where_too_few_are_left_the_training_ends_and_says_why(tmp_path):
    consortium, training = in_ceremony(tmp_path, min_banks=4)
    complain(consortium, training, 0, 1)
    ended = consortium.training(training)
    assert ended.status is TrainingState.FAILED
    assert "3 banks are left in the key ceremony, 4 are needed; struck: " in ended.reason
    assert "bank-0 cannot take the deal of bank-1: its pieces do not open" in ended.reason


def test_where_the_committee_becomes_too_weak_the_training_ends_and_says_why(tmp_path):
    consortium = Consortium(tmp_path, banks=9)
    training = consortium.start("ckks", min_banks=7, colluders=5)  # 7 of 9 open a sum, but 5 of 7
    consortium.until(training, TrainingState.KEY_CEREMONY)
    complain(consortium, training, 0, 1)
    ended = consortium.training(training)
    assert ended.status is TrainingState.FAILED
    assert "expected a threshold above the plan's 5 colluders, got 5 of 7" in ended.reason


def test_a_complaint_about_oneself_or_a_stranger_is_refused(tmp_path):
    consortium, training = in_ceremony(tmp_path)
    own = consortium.banks[0].node
    for about in (own, "0b5ffd5c-6f5e-4c58-9a9c-6a4a0d8f1f11"):
        complaint = Complaint(reason="its pieces do not open", about=about)
        with (
            pytest.raises(NotOnRoster, match="a complaint about another bank on the roster"),
            consortium.service.runtime.act("test") as (s, effects, now),
        ):
            accept_complaint(s, training, own, complaint, effects, now=now)
    assert consortium.training(training).attempt == 0
    assert "complaint" not in consortium.events(training)
    assert consortium.finish(training).model_digest == expected_model([0, 1, 2, 3, 4])


def test_once_the_rounds_run_a_complaint_about_a_deal_is_only_told_to_the_operator(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks")
    consortium.until(training, 1)
    complain(consortium, training, 0, 1)
    assert struck(consortium, training) == {}
    assert "complaint" in consortium.events(training)
    assert consortium.finish(training).model_digest == expected_model([0, 1, 2, 3, 4])


class ForkingTransport:
    """A lying service: shows its victim another deal of one dealer than others see, and takes the receipt for it."""

    def __init__(self, real, deal_of_victim, sealed_for_victim):
        self.real, self.deal, self.sealed, self.receipt = real, deal_of_victim, sealed_for_victim, None

    def __getattr__(self, name):
        return getattr(self.real, name)

    def work(self):
        work = self.real.work()
        items = [self._forked(item) if isinstance(item, ReceiveWork) else item for item in work.items]
        return work.model_copy(update={"items": tuple(items)})

    def _forked(self, item):
        evil = self.deal.statement.node
        deals = tuple(self.deal if signed.statement.node == evil else signed for signed in item.deals)
        return item.model_copy(update={"deals": deals})

    def get_bytes(self, path):
        evil = self.deal.statement.node
        return self.sealed if path.endswith(f"/sealed/{evil}") else self.real.get_bytes(path)

    def put_json(self, path, body, *, wait=None):
        if not path.endswith("/receipt"):
            return self.real.put_json(path, body, wait=wait)
        self.receipt = body.statement
        with self.real.service.runtime.db.transaction("test.lie") as s:
            s.get_one(CeremonyStep, (self.receipt.training, 0, self.receipt.node)).receipt = body.model_dump_json()
        return Accepted()


def another_deal(bank, victim):
    """A second deal of the same key in one ceremony, signed, and what it seals to the victim."""
    keys = {
        uuid_bytes(member.node): base64.b64decode(member.acceptance.statement.sealing_key)
        for member in bank.roster.members
        if member.node in bank.roster.committee
    }
    dealt = deal(bank.ceremony, uuid_bytes(bank.node), bank.secret, keys)
    sealed = {node: join_sealed(dealt.sealed[uuid_bytes(node)], b"") for node in bank.roster.committee}
    statement = Deal(
        training=bank.roster.training, attempt=0, node=bank.node, roster=bank.roster.digest(),
        commitments=base64.b64encode(dealt.commitments).decode(),
        sealed={node: sha256_hex(message) for node, message in sealed.items()},
    )  # fmt: skip
    return bank.sign(statement), sealed[victim]


def test_different_deals_to_different_holders_end_at_the_first_contribution(tmp_path):
    consortium, training = in_ceremony(tmp_path, threshold=3, agreement=True)
    evil, victim, other = consortium.banks[4], consortium.banks[0], consortium.banks[1]
    for bank in consortium.banks:
        for item in bank.transport.work().items:
            bank.perform(item)
    victim.transport = ForkingTransport(victim.transport, *another_deal(evil, victim.node))
    for bank in consortium.banks:
        for item in bank.transport.work().items:
            bank.perform(item)
    consortium.service.run_tasks()
    assert consortium.training(training).status is TrainingState.RUNNING
    # The attack would work: two holders give different shares for one piece and contributor set; only noise differs.
    round_id = crypto.RoundId(victim.ceremony.parameters, victim.ceremony.training, 0, 100)
    banks = [uuid_bytes(bank.node) for bank in consortium.banks if bank is not evil]
    mine, theirs = (
        crypto.pieces_of(5, 3, bank.ceremony.member_index(uuid_bytes(bank.node))) for bank in (victim, other)
    )
    piece = next(piece for piece in mine if piece in theirs)
    bodies = {bank.decryptor.share(round_id, banks, [piece])[crypto.HEADER_BYTES :] for bank in (victim, other)}
    assert len(bodies) == 2
    # But the two have begun another history, so that neither goes on with what the other has signed.
    receipts = {victim: victim.transport.receipt.deals, other: deals_digest_of(consortium, training)}
    work = {bank: bank.transport.work().items[0] for bank in (victim, other)}
    learners = {
        bank: Learner(training, bank.plan, bank.roster, deals, build(bank.plan.learning))
        for bank, deals in receipts.items()
    }
    learners[other].require_query(0, query=work[other].query, history=work[other].history)
    with pytest.raises(LogForked, match="the history that this bank has seen, got another one"):
        learners[victim].require_query(0, query=work[victim].query, history=work[victim].history)
    contributions = [bank.contribution(bank.transport.work().items[0])[0] for bank in consortium.banks[1:]]
    with pytest.raises(LogForked, match="contributions on the history that this bank has seen"):
        check_contributors(
            contributions, training=training, round_index=0, plan=victim.plan, roster=victim.roster,
            query=work[victim].query, history=learners[victim].history,
        )  # fmt: skip


def deals_digest_of(consortium, training):
    """What everyone but the victim has signed for."""
    with consortium.service.runtime.db.reading("test") as s:
        return deals_digest(deals_of(s, consortium.training(training)))
