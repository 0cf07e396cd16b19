"""A training from start to farewell against the service's own handlers, step by step; banks can fall silent."""

from __future__ import annotations

import resource
import time
import uuid
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, select, update

from consortium.reconciler import ROOM_BYTES, Reconciler, reconcile
from consortium.rounds.tables import Assignment, Contribution, Round
from consortium.trainings.progress import RoundView, round_views
from consortium.trainings.service import (
    Invitee,
    pause_training,
    refuse_invitation,
    resume_training,
    start_training,
)
from consortium.trainings.tables import Training, TrainingEventRow, TrainingMember
from protocol.messages import Refusal
from protocol.plan import Cohort, Deadlines, Plan, Protection, ProtectionLevel
from protocol.states import TrainingState
from tests.common.direct_service import DirectService, DirectTransport
from tests.common.servers import empty_database
from tests.common.small_bank import SmallBank
from tests.common.tables_learning import SETTINGS, build, expected_model, rows_of


class Consortium:
    """A service and five banks, moved step by step."""

    def __init__(self, folder: Any, *, banks: int = 5, **options: Any) -> None:
        self.service = DirectService(folder, build, **options)
        self.data = [rows_of(seed) for seed in range(banks)]
        self.banks = []
        for number in range(banks):
            node = str(uuid.uuid4())
            transport = DirectTransport(self.service, node)
            self.banks.append(SmallBank(node, Ed25519PrivateKey.generate(), transport, build, self.data[number]))
        self.silent: set[str] = set()

    def start(self, level: str = "none", *, min_banks: int = 3, **protection: Any) -> str:
        plan = Plan(
            name="tables",
            learning=SETTINGS.model_dump(mode="json"),
            cohort=Cohort(min_banks=min_banks),
            protection=Protection(level=ProtectionLevel(level), **protection),
            deadlines=Deadlines(invitation_s=60, ceremony_s=60, contribution_s=30, share_s=20),
        )
        nodes = [Invitee(bank.node, f"bank-{i}", bank.signing_key) for i, bank in enumerate(self.banks)]
        with self.service.runtime.act("test.start") as (s, effects, now):
            return start_training(s, plan, nodes, effects, by="test", now=now).id

    def step(self) -> int:
        """Every bank that is there does what it owes; the workers do what they are asked."""
        done = self.service.run_tasks()
        for bank in self.banks:
            if bank.node in self.silent:
                continue
            for item in bank.transport.work().items:
                bank.perform(item)
                done += 1
        return done + self.service.run_tasks()

    def go_on_without(self, silent: set[str]) -> None:
        """These banks fall silent, and the others do what there is to do."""
        self.silent = silent
        while self.step():
            pass

    def late(self, seconds: float = 31.0) -> None:
        """Deadlines pass."""
        self.service.clock.ahead_s += seconds
        reconcile(self.service.runtime)
        self.service.run_tasks()

    def until(self, training: str, wanted: TrainingState | int, steps: int = 60) -> Training:
        """Steps until the training is in this state, or at this round."""
        for _ in range(steps):
            row = self.training(training)
            if wanted in {row.status, row.round}:
                return row
            self.step()
        raise AssertionError(
            f"{self.training(training).state}: {self.training(training).reason}; {self.events(training)}"
        )

    def finish(self, training: str) -> Training:
        self.until(training, TrainingState.COMPLETED)
        while self.step():
            pass
        return self.training(training)

    def training(self, training: str) -> Training:
        with self.service.runtime.db.reading("test") as s:
            return s.get_one(Training, training)

    def members(self, training: str) -> dict[str, TrainingMember]:
        with self.service.runtime.db.reading("test") as s:
            return {m.node: m for m in s.scalars(select(TrainingMember).where(TrainingMember.training == training))}

    def events(self, training: str) -> list[str]:
        with self.service.runtime.db.reading("test") as s:
            rows = s.scalars(select(TrainingEventRow).where(TrainingEventRow.training == training))
            return [row.kind for row in rows]

    def rounds(self, training: str) -> list[Round]:
        with self.service.runtime.db.reading("test") as s:
            return list(s.scalars(select(Round).where(Round.training == training).order_by(Round.index)))


@pytest.mark.parametrize("level", ["none", "ckks"])
@pytest.mark.parametrize("inline_bytes", [65536, 0])
def test_a_training_runs_to_the_same_model_at_every_bank_and_the_service(tmp_path, level, inline_bytes):
    consortium = Consortium(tmp_path, inline_bytes=inline_bytes)
    training = consortium.finish(consortium.start(level))
    expected = expected_model([0, 1, 2, 3, 4])
    assert training.model_digest == expected
    assert {bank.model.digest().hex() for bank in consortium.banks} == {expected}
    assert {bank.ended.state for bank in consortium.banks} == {TrainingState.COMPLETED}
    assert all(member.farewell_at for member in consortium.members(training.id).values())
    assert training.round == 3
    assert [row.state for row in consortium.rounds(training.id)] == ["applied"] * 3


def test_a_silent_bank_costs_one_deadline_and_is_waited_for_again_once_it_is_heard_of(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks")
    consortium.until(training, 1)
    consortium.go_on_without({consortium.banks[2].node})
    assert consortium.training(training).round == 1
    consortium.late()
    consortium.until(training, 2)  # without another deadline
    consortium.silent = set()
    ended = consortium.finish(training)
    assert [len(row.contributors) for row in consortium.rounds(training)] == [5, 4, 5]
    assert {"away", "back"} <= set(consortium.events(training))
    assert {bank.model.digest().hex() for bank in consortium.banks} == {ended.model_digest}


def test_a_committee_member_killed_between_being_asked_and_answering_is_replaced(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks")
    consortium.until(training, 1)
    contributed = consortium.rounds(training)[1]
    for bank in consortium.banks:  # all contribute, then one is gone
        for item in bank.transport.work().items:
            bank.perform(item)
    with consortium.service.runtime.db.reading("test") as s:
        asked = s.scalars(select(Assignment.node).where(Assignment.round == contributed.index)).first()
    consortium.go_on_without({asked})
    assert consortium.training(training).round == 1
    consortium.late(21)
    consortium.finish(training)
    assert "reassigned" in consortium.events(training)


def test_no_bank_is_to_blame_for_a_blob_store_that_is_full(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks")
    consortium.until(training, 1)
    consortium.go_on_without({consortium.banks[0].node})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES // 2, before[1]))  # as a disk that is nearly full
    try:
        consortium.late()
        consortium.late()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert consortium.events(training)[-1] == "no_room"
    assert consortium.events(training).count("no_room") == 1
    assert "away" not in consortium.events(training)
    consortium.late()
    assert "away" in consortium.events(training)


@pytest.mark.server
def test_a_machine_whose_clock_is_wrong_lets_no_deadline_pass(tmp_path):
    with empty_database("postgresql", tmp_path) as url:
        consortium = Consortium(tmp_path, database_url=url)
        training = consortium.start("ckks")
        consortium.until(training, 1)
        consortium.go_on_without({consortium.banks[0].node})
        for ahead_s, is_right in ((3700.0, False), (-3700.0, False), (29.0, True)):
            consortium.service.clock.ahead_s = ahead_s
            with consortium.service.runtime.act("test.due") as (s, _, now):
                s.execute(update(Round).where(Round.training == training).values(deadline_at=now - 1))
            reconciler = Reconciler(consortium.service.runtime, every_s=0.05, grace_s=0.0)
            reconciler.start()
            time.sleep(0.5)
            reconciler.close()
            assert ("away" in consortium.events(training)) is is_right
        consortium.service.runtime.db.close()


def test_below_the_quorum_it_pauses_with_a_reason_and_resumes_when_banks_return(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks", min_banks=4)
    consortium.until(training, 1)
    consortium.go_on_without({bank.node for bank in consortium.banks[:2]})
    consortium.late()
    paused = consortium.training(training)
    assert paused.status is TrainingState.PAUSED
    assert "3 of 5 banks contributed, 4 are needed" in paused.reason
    assert "bank-" in paused.reason
    consortium.silent = set()
    consortium.finish(training)
    assert {"pause", "resume"} <= set(consortium.events(training))
    assert [len(row.contributors) for row in consortium.rounds(training)] == [5, 4, 5]


def test_three_of_five_with_agreement_go_on_without_two(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks", threshold=3, agreement=True)
    consortium.until(training, 1)
    assert any("vote" in bank.answered for bank in consortium.banks)
    consortium.silent = {bank.node for bank in consortium.banks[3:]}
    for _ in range(200):
        if consortium.training(training).status is not TrainingState.RUNNING:
            break
        if not consortium.step():
            consortium.late()
    # with one colluder assumed more than (5 + 1) / 2 members must vote: three do not agree
    paused = consortium.training(training)
    assert paused.status is TrainingState.PAUSED
    assert "committee members have voted, 4 are needed" in paused.reason


def test_three_of_five_with_agreement_and_no_colluder_assumed_finish_with_three(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks", threshold=3, agreement=True, colluders=0)
    consortium.until(training, 1)
    consortium.silent = {bank.node for bank in consortium.banks[3:]}
    for _ in range(100):
        if consortium.training(training).status.ended:
            break
        if not consortium.step():
            consortium.late()
    assert consortium.training(training).status is TrainingState.COMPLETED
    assert [len(row.contributors) for row in consortium.rounds(training)] == [5, 3, 3]


def test_a_wrong_share_is_found_and_its_pieces_asked_of_others(tmp_path):
    consortium = Consortium(tmp_path)
    consortium.banks[1].spoil_shares = True
    training = consortium.start("ckks")
    ended = consortium.finish(training)
    assert ended.model_digest == expected_model([0, 1, 2, 3, 4])
    with consortium.service.runtime.db.reading("test") as s:
        culprits = set(s.scalars(select(TrainingEventRow.node).where(TrainingEventRow.kind == "wrong_share")))
    assert culprits == {consortium.banks[1].node}


def test_a_lost_queue_loses_nothing(tmp_path):
    consortium = Consortium(tmp_path, inline_bytes=0)
    training = consortium.start("ckks")
    for _ in range(400):
        if consortium.training(training).status.ended:
            break
        for bank in consortium.banks:
            for item in bank.transport.work().items:
                bank.perform(item)
        consortium.service.queue.tasks.clear()
        consortium.service.clock.ahead_s += 4
        reconcile(consortium.service.runtime)
        # A broker's serialiser takes plain tuples, not a database's rows.
        assert all(type(task.arguments) is tuple for task in consortium.service.queue.tasks)
        consortium.service.run_tasks(limit=1)
        consortium.service.queue.tasks.clear()
    assert consortium.training(training).model_digest == expected_model([0, 1, 2, 3, 4])


def test_tasks_that_run_twice_change_nothing(tmp_path):
    consortium = Consortium(tmp_path, inline_bytes=0)
    original = consortium.service.queue.put
    consortium.service.queue.put = lambda task: (original(task), original(task))
    training = consortium.finish(consortium.start("ckks"))
    assert training.model_digest == expected_model([0, 1, 2, 3, 4])
    assert consortium.events(training.id).count("rounds_finished") == 1


def test_a_contribution_that_does_not_validate_leaves_its_bank_out_with_the_reason(tmp_path):
    consortium = Consortium(tmp_path, inline_bytes=0)
    training = consortium.start("ckks")
    consortium.until(training, TrainingState.RUNNING)
    consortium.service.run_tasks()
    bank = consortium.banks[0]
    encrypt = bank.encryptor.encrypt
    bank.encryptor.encrypt = lambda round_id, vector: encrypt(round_id, vector)[:-1] + b"\xff"
    consortium.until(training, 1)
    bank.encryptor.encrypt = encrypt
    assert consortium.rounds(training)[0].contributors == sorted(b.node for b in consortium.banks[1:])
    with consortium.service.runtime.db.reading("test") as s:
        refused = s.get_one(Contribution, (training, 0, bank.node))
    assert refused.state == "refused"
    assert refused.reason
    consortium.finish(training)


def test_an_invitation_that_enough_have_refused_hears_the_others_who_are_there(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start(min_banks=4)
    reasons = ["no column 'amount'", "the policy allows no more", "the data are too old"]

    def refuse(number: int) -> Training:
        with consortium.service.runtime.act("test") as (s, effects, now):
            refusal = Refusal(reason=reasons[number])
            refuse_invitation(s, training, consortium.banks[number].node, refusal, effects, now=now)
        return consortium.training(training)

    given_up = [refuse(number) for number in range(3)][1]
    assert given_up.status is TrainingState.INVITING  # two of five refused, four are needed
    assert consortium.training(training).deadline_at == given_up.deadline_at  # no answer puts the end off
    consortium.silent = {bank.node for bank in consortium.banks[:4]}
    consortium.step()
    consortium.late(6)
    failed = consortium.training(training)
    assert failed.status is TrainingState.FAILED
    assert failed.reason.startswith("1 of 5 banks accepted, 4 are needed; refused: ")
    assert all(reason in failed.reason for reason in reasons)
    assert failed.reason.endswith("; no answer in time: bank-3")


def test_the_operator_pauses_and_resumes(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start()
    consortium.until(training, 1)
    with consortium.service.runtime.act("test") as (s, effects, now):
        pause_training(s, training, effects, now=now, reason="maintenance")
    assert consortium.step() == 0
    consortium.late(10_000)
    assert consortium.step() == 0
    with consortium.service.runtime.act("test") as (s, effects, now):
        resume_training(s, training, effects, now=now)
    consortium.finish(training)
    assert "away" not in consortium.events(training)


def test_too_few_acceptances_fail_the_training_with_the_reasons(tmp_path):
    consortium = Consortium(tmp_path)
    for bank in consortium.banks[:3]:
        bank.refuses = "our policy does not allow this plan"
    training = consortium.start("ckks")
    failed = consortium.until(training, TrainingState.FAILED)
    assert "2 of 5 banks accepted, 3 are needed" in failed.reason or "are needed; refused" in failed.reason
    assert "our policy does not allow this plan" in failed.reason
    assert "no answer" not in failed.reason  # nobody was given the time for it
    while consortium.step():
        pass
    # Who accepts too late must not wait for a ceremony that never comes.
    assert all(bank.ended.state is TrainingState.FAILED for bank in consortium.banks[3:])
    assert all(bank.ended is None for bank in consortium.banks[:3])


def test_who_misses_the_ceremony_is_struck_and_the_rest_begin_again(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks")
    consortium.until(training, TrainingState.KEY_CEREMONY)
    consortium.go_on_without({consortium.banks[0].node})
    consortium.late(61)
    row = consortium.training(training)
    assert (row.status, row.attempt) == (TrainingState.KEY_CEREMONY, 1)
    ended = consortium.finish(training)
    assert ended.model_digest == expected_model([1, 2, 3, 4])
    assert sum(member.on_roster for member in consortium.members(training).values()) == 4


def test_the_rounds_are_shown_as_they_were_in_as_many_statements_however_many_there_are(tmp_path):
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks")
    consortium.until(training, 1)
    consortium.go_on_without({consortium.banks[2].node})
    shown, few = views_of(consortium, training)
    assert [(view.answered, view.expected, view.contributors, view.shares) for view in shown] == [
        (5, 5, 5, (4, 4)),
        (4, 5, 0, (0, 0)),
    ]
    consortium.late()
    consortium.finish(training)
    shown, many = views_of(consortium, training)
    assert [(view.answered, view.contributors, view.shares) for view in shown] == [
        (5, 5, (4, 4)),
        (4, 4, (4, 4)),
        (4, 4, (4, 4)),
    ]
    assert all(view.seconds["decrypting"] >= 0 for view in shown)
    assert many == few


def views_of(consortium: Consortium, training: str) -> tuple[list[RoundView], int]:
    """What an operator sees of a training's rounds, and how many statements it took."""
    runtime, statements = consortium.service.runtime, []
    rows, members = consortium.rounds(training), list(consortium.members(training).values())
    event.listen(runtime.db.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    with runtime.db.reading("test") as s:
        views = round_views(s, training, rows, members, now=runtime.clock.now())
    return list(views), len([said for said in statements if said.startswith("SELECT")])
