"""Attacks on what a node says outside of rounds: acceptance, refusal, sealed messages, deal, receipt, the model that it
derived, complaint and farewell. Every sender signs its requests rightly: what is wrong is the message.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace

import pytest

from crypto.member import SealingKey
from protocol.messages import Refusal
from protocol.problems import ProblemType as P
from protocol.sealed_message import join_sealed
from protocol.statements import Receipt
from tests.adversarial.world import Upload, World, running_world, withheld
from tests.common.small_bank import SmallBank

OTHER = str(uuid.UUID(int=7))
ZERO = "0" * 64
Taken = tuple[World, SmallBank, list[Upload]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    # Four of the five banks decrypt, so that one is sealed nothing.
    with running_world(tmp_path_factory.mktemp("statements"), committee_size=4) as world:
        yield world


def held(world: World, do: str, number: int = 1) -> Taken:
    """A bank and what it would send for a piece of work."""
    owed = world.until(do)
    bank = world.banks[number]
    return world, bank, withheld(bank, owed[bank.node])


def refuse_changes(world: World, bank: SmallBank, upload: Upload, table: dict[str, tuple]) -> None:
    """The statement with one thing changed is refused, signed anew by the bank or not."""
    for changes, kind, words in table.values():
        world.refuses(bank, upload.resigned(bank.key, **changes), kind, words)
        forged = upload.signed.model_copy(update={"statement": upload.signed.statement.model_copy(update=changes)})
        world.refuses(bank, upload.with_statement(forged), P.STATEMENT_INVALID, "signature by the named key")
    # Another's signature, none to speak of, and another act's.
    world.refuses(bank, upload.resigned(world.banks[2].key), P.STATEMENT_INVALID, "signature by the named key")
    empty = upload.signed.model_copy(update={"signature": ""})
    world.refuses(bank, upload.with_statement(empty), P.STATEMENT_INVALID, "signature by the named key")
    receipt = Receipt(training=world.training, attempt=0, node=bank.node, roster=ZERO, deals=ZERO)
    if upload.signed.statement.tag != "receipt":
        world.refuses(bank, upload.with_statement(bank.sign(receipt)), P.STATEMENT_INVALID, "expected tag")


ELSEWHERE = {
    "another training": ({"training": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
    "another bank": ({"node": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
}


# The invitation.


def test_an_acceptance_is_refused_that_is_of_something_else(world):
    world, bank, (upload,) = held(world, "answer_invitation")
    refuse_changes(
        world, bank, upload, ELSEWHERE | {"another plan": ({"plan": ZERO}, P.STATEMENT_INVALID, "training's plan")}
    )


@pytest.mark.parametrize("size", [0, 5, 32, 1216, 1217])
def test_an_acceptance_is_refused_whose_sealing_key_is_none(world, size):
    world, bank, (upload,) = held(world, "answer_invitation")
    for key in (b"\xff" * size, b"\0" * (size + 1000)):
        text = base64.b64encode(key).decode()
        world.refuses(bank, upload.resigned(bank.key, sealing_key=text), P.STATEMENT_INVALID, "sealing key")
    world.refuses(bank, upload.resigned(bank.key, sealing_key="A"), P.STATEMENT_INVALID, "sealing key")


def test_nothing_of_the_key_ceremony_is_taken_before_the_roster_is_fixed(world):
    world, bank, _ = held(world, "answer_invitation")
    path = f"trainings/{world.training}/ceremony/0"
    sealed = Upload.binary(f"{path}/sealed/{bank.node}", join_sealed(b"", b""), None)
    world.refuses(bank, sealed, P.WRONG_STATE, "a training with a roster")
    receipt = Receipt(training=world.training, attempt=0, node=bank.node, roster=ZERO, deals=ZERO)
    world.refuses(bank, Upload.json(f"{path}/receipt", bank.sign(receipt)), P.WRONG_STATE, "a training with a roster")


def test_another_answer_to_the_invitation_is_refused_and_the_first_is_kept(world):
    world, bank, (upload,) = held(world, "answer_invitation")
    assert world.send(bank, upload).is_success
    key = base64.b64encode(SealingKey.generate().public_bytes).decode()
    world.refuses(bank, upload.resigned(bank.key, sealing_key=key), P.FORBIDDEN_MUTATION, "the answer given before")
    refusal = Upload.json(f"trainings/{world.training}/refusal", Refusal(reason="we have thought about it"))
    world.refuses(bank, refusal, P.FORBIDDEN_MUTATION, "the answer given before")
    with world.unchanged():
        assert world.send(bank, upload).is_success


# The key ceremony.


def test_a_sealed_message_is_refused_that_is_none_or_for_nobody(world):
    world, bank, uploads = held(world, "deal")
    upload = uploads[0]
    for body in (b"", b"\0\0\0", b"\0\0\0\5abcd", upload.body[: len(upload.body) // 2]):
        world.refuses(bank, upload.with_body(body), P.BAD_REQUEST, "sealed message: expected")
    for recipient in (world.spare.node, world.stranger.node, OTHER):
        elsewhere = replace(upload, path=upload.path.rpartition("/")[0] + f"/{recipient}")
        world.refuses(bank, elsewhere, P.NOT_ON_ROSTER, "a recipient on the roster")
    for outsider in (world.spare, world.stranger):
        world.refuses(outsider, upload, P.NOT_ON_ROSTER, "on the roster")
    for attempt, kind in (("1", P.WRONG_ROUND), ("999999999", P.WRONG_ROUND), ("-1", P.VALIDATION)):
        world.refuses(bank, replace(upload, path=upload.path.replace("ceremony/0", f"ceremony/{attempt}")), kind)


def test_a_deal_is_refused_while_something_that_it_names_is_missing(world):
    world, bank, uploads = held(world, "deal")
    world.refuses(bank, uploads[-1], P.STATEMENT_INVALID, "the sealed messages that it names")
    for sealed in uploads[:-2]:
        assert world.send(bank, sealed).is_success
    world.refuses(bank, uploads[-1], P.STATEMENT_INVALID, "the sealed messages that it names")


def test_another_sealed_message_is_refused_and_the_first_is_kept(world):
    world, bank, uploads = held(world, "deal")
    for sealed in uploads[:-1]:
        assert world.send(bank, sealed).is_success
    other = uploads[0].with_body(join_sealed(b"other pieces", b""))
    world.refuses(bank, other, P.FORBIDDEN_MUTATION, "expected the message sent before")
    with world.unchanged():
        assert world.send(bank, uploads[0]).is_success


def test_a_deal_is_refused_that_is_of_something_else(world):
    world, bank, uploads = held(world, "deal")
    for sealed in uploads[:-1]:
        assert world.send(bank, sealed).is_success
    sealed = uploads[-1].signed.statement.sealed
    table = ELSEWHERE | {
        "another attempt": ({"attempt": 1}, P.STATEMENT_INVALID, "attempt 0 and its roster"),
        "another roster": ({"roster": ZERO}, P.STATEMENT_INVALID, "attempt 0 and its roster"),
        "other messages": ({"sealed": dict.fromkeys(sealed, ZERO)}, P.STATEMENT_INVALID, "that it names"),
        "no messages": ({"sealed": {}}, P.STATEMENT_INVALID, "that it names"),
    }
    refuse_changes(world, bank, uploads[-1], table)


def test_a_receipt_is_refused_before_all_have_dealt(world):
    world, bank, _ = held(world, "deal")
    receipt = Receipt(
        training=world.training, attempt=0, node=bank.node, roster=world.banks[1].roster.digest(), deals=ZERO
    )
    upload = Upload.json(f"trainings/{world.training}/ceremony/0/receipt", bank.sign(receipt))
    world.refuses(bank, upload, P.WRONG_STATE, "in which all have dealt")


def test_another_deal_is_refused_and_the_first_is_kept(world):
    world, bank, uploads = held(world, "deal")
    for upload in uploads:
        assert world.send(bank, upload).is_success
    world.refuses(bank, uploads[-1].resigned(bank.key, commitments="AAAA"), P.FORBIDDEN_MUTATION, "sent before")
    with world.unchanged():
        assert world.send(bank, uploads[-1]).is_success


def test_a_receipt_is_refused_that_is_of_something_else(world):
    world, bank, (upload,) = held(world, "receive")
    table = ELSEWHERE | {
        "another attempt": ({"attempt": 1}, P.STATEMENT_INVALID, "this attempt"),
        "another roster": ({"roster": ZERO}, P.STATEMENT_INVALID, "its roster"),
        "other deals": ({"deals": ZERO}, P.STATEMENT_INVALID, "its deals"),
    }
    refuse_changes(world, bank, upload, table)
    for attempt in ("1", "7"):
        elsewhere = replace(upload, path=upload.path.replace("ceremony/0", f"ceremony/{attempt}"))
        world.refuses(bank, elsewhere, P.WRONG_ROUND, "attempt 0")


def test_what_is_sealed_to_another_is_given_to_nobody_else(world):
    world.until("receive")
    roster = world.banks[1].roster
    outside = next(bank for bank in world.banks if bank.node not in roster.committee)
    get = Upload(f"trainings/{world.training}/ceremony/0/sealed/{world.banks[1].node}", method="GET")
    for other in (outside, world.spare, world.stranger):
        world.refuses(other, get, P.WRONG_ROUND, "expected a sealed message, got none")


def test_another_receipt_is_refused_and_the_first_is_kept(world):
    world, bank, (upload,) = held(world, "receive")
    assert world.send(bank, upload).is_success
    world.refuses(bank, upload.resigned(bank.key, deals=ZERO), P.FORBIDDEN_MUTATION, "the receipt sent before")
    with world.unchanged():
        assert world.send(bank, upload).is_success


# While the rounds run, and after them.


def test_what_belongs_before_the_rounds_is_refused_in_them(world):
    world.until("contribute")
    bank = world.banks[0]
    outside = next(other for other in world.banks if other.node not in bank.roster.committee)
    sealed = Upload.binary(
        f"trainings/{world.training}/ceremony/0/sealed/{outside.node}", join_sealed(b"late", b""), None
    )
    world.refuses(bank, sealed, P.WRONG_STATE, "a training in its key ceremony")
    refusal = Upload.json(f"trainings/{world.training}/refusal", Refusal(reason="too late"))
    world.refuses(bank, refusal, P.FORBIDDEN_MUTATION, "the answer given before")


def test_what_belongs_after_the_rounds_is_refused_in_them(world):
    world.until("contribute")
    bank = world.banks[0]
    farewell = Upload(f"trainings/{world.training}/farewell")
    world.refuses(bank, farewell, P.WRONG_STATE, "a training that has ended, got running")
    for path in ("applied", "aggregate"):
        get = Upload(f"trainings/{world.training}/rounds/0/{path}", method="GET")
        world.refuses(bank, get, P.WRONG_ROUND, "applied")
        world.refuses(world.stranger, get, P.NOT_ON_ROSTER, "on the roster")


def test_what_a_stranger_sends_is_refused(world):
    world.until("contribute")
    for path, message in (
        ("refusal", Refusal(reason="who am I")),
        ("complaint", Refusal(reason="who am I")),
        ("farewell", None),
    ):
        upload = Upload.json(f"trainings/{world.training}/{path}", message)
        world.refuses(world.stranger, upload, P.NOT_ON_ROSTER, "an invited bank")
        world.refuses(world.stranger, replace(upload, path=f"trainings/{OTHER}/{path}"), P.NOT_FOUND)


@pytest.mark.parametrize("reason", ["", "x" * 501, "nul \0 inside"])
def test_a_complaint_is_refused_that_no_database_would_keep(world, reason):
    world.until("contribute")
    body = b'{"reason":%s}' % json.dumps(reason).encode()
    upload = Upload(f"trainings/{world.training}/complaint", body, {"Content-Type": "application/json"})
    world.refuses(world.banks[0], upload, P.VALIDATION, "reason")


def test_a_model_is_refused_that_is_of_something_else(world):
    world, bank, (upload,) = held(world, "confirm_model")
    table = ELSEWHERE | {"another history": ({"history": ZERO}, P.STATEMENT_INVALID, "the training's history")}
    refuse_changes(world, bank, upload, table)
    own = upload.resigned(world.spare.key, node=world.spare.node)
    world.refuses(world.spare, own, P.WRONG_STATE, "expected")


def test_another_model_is_refused_and_the_first_is_kept(world):
    world, bank, (upload,) = held(world, "confirm_model")
    assert world.send(bank, upload).is_success
    world.refuses(bank, upload.resigned(bank.key, model=ZERO), P.FORBIDDEN_MUTATION, "the statement sent before")
    with world.unchanged():
        assert world.send(bank, upload).is_success
