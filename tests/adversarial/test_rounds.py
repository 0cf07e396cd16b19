"""Attacks on what a round takes: contributions, votes for the contributor set, decryption shares. Every sender signs
its requests rightly: what is wrong is the message.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from sqlalchemy import select

import crypto
from consortium.reconciler import reconcile
from consortium.rounds.tables import Assignment, Contribution, Round
from crypto.member import Encryptor
from learning.query import to_fixed_point
from protocol.history import contributors_digest
from protocol.ids import NodeId, sha256_hex, uuid_bytes
from protocol.problems import ProblemType as P
from protocol.statements import ShareStatement, Vote
from tests.adversarial.world import LONG_S, Upload, World, running_world, withheld
from tests.common.small_bank import SmallBank, spoil

OTHER = str(uuid.UUID(int=7))
ZERO = "0" * 64


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    # Four of the five banks decrypt, so that one is on the roster and not on the committee.
    with running_world(tmp_path_factory.mktemp("rounds"), agreement=True, committee_size=4) as world:
        yield world


def with_header(data: bytes, **changes: object) -> bytes:
    """The same message with other fields in its header."""
    return replace(crypto.read_header(data), **changes).to_bytes() + data[crypto.HEADER_BYTES :]


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def residues_beyond_the_prime(data: bytes) -> bytes:
    """A message with a right digest over residues that are none."""
    body = b"\xff" * (len(data) - crypto.HEADER_BYTES)
    return with_header(data[: crypto.HEADER_BYTES] + body, body_digest=bytes.fromhex(sha256_hex(body)))


def vote_by(world: World, bank: SmallBank, index: int, *contributors: str) -> Upload:
    """A bank's vote in a round, rightly signed."""
    with world.runtime.db.reading("test") as s:
        row = s.get(Round, (world.training, index))
    vote = Vote(
        training=world.training, round=index, node=bank.node, contributors=contributors,
        query=row.query_digest if row else ZERO, history=row.history if row else ZERO,
    )  # fmt: skip
    return Upload.json(f"trainings/{world.training}/rounds/{index}/vote", bank.sign(vote))


# Contributions to round 0: nobody's has been sent yet.


@pytest.fixture
def contribution(world) -> tuple[World, SmallBank, Upload]:
    """A bank's contribution that the service would take."""
    owed = world.until("contribute")
    bank = world.banks[1]
    return world, bank, withheld(bank, owed[bank.node])[0]


def another_banks(world: World) -> Upload:
    bank = world.banks[2]
    return withheld(bank, world.until("contribute")[bank.node])[0]


BAD_BYTES = {
    "truncated": (lambda data: data[:-1], P.STATEMENT_INVALID, "bytes that were signed"),
    "header only": (lambda data: data[: crypto.HEADER_BYTES], P.STATEMENT_INVALID, "bytes that were signed"),
    "one byte too long": (lambda data: data + b"\0", P.STATEMENT_INVALID, "bytes that were signed"),
    "twice": (lambda data: data + data, P.STATEMENT_INVALID, "bytes that were signed"),
    "a bit of the magic flipped": (lambda data: flipped(data, 3), P.MALFORMED_CONTRIBUTION, "header"),
    "a bit of the body flipped": (lambda data: flipped(data, 8 * 500), P.MALFORMED_CONTRIBUTION, "expected the body"),
    "the last bit flipped": (lambda data: flipped(data, 8 * len(data) - 1), P.MALFORMED_CONTRIBUTION, "body"),
    "of another round": (lambda data: with_header(data, round=1), P.MALFORMED_CONTRIBUTION, "round: expected 0, got 1"),
    "of another training": (lambda data: with_header(data, training=bytes(16)), P.MALFORMED_CONTRIBUTION, "training"),
    "of another bank": (lambda data: with_header(data, sender=bytes(16)), P.MALFORMED_CONTRIBUTION, "sender"),
    "of other parameters": (
        lambda data: with_header(data, parameter_id=bytes(16)), P.MALFORMED_CONTRIBUTION, "expected a valid",
    ),
    "of another length": (lambda data: with_header(data, values=7), P.MALFORMED_CONTRIBUTION, "values"),
    "for a contributor set": (
        lambda data: with_header(data, contributors_digest=b"\1" * 32), P.MALFORMED_CONTRIBUTION, "contributor set",
    ),
    "that is a share": (
        lambda data: with_header(data, kind=crypto.Kind.SHARE), P.MALFORMED_CONTRIBUTION, "expected a contribution",
    ),
    "with residues beyond the prime": (residues_beyond_the_prime, P.MALFORMED_CONTRIBUTION, "below the prime"),
    "noise": (lambda data: b"noise" * (len(data) // 5) + b"n" * (len(data) % 5), P.MALFORMED_CONTRIBUTION, "header"),
}  # fmt: skip


@pytest.mark.parametrize("act", BAD_BYTES)
def test_a_contribution_is_refused_whose_signed_bytes_are(contribution, act):
    world, bank, upload = contribution
    change, kind, words = BAD_BYTES[act]
    world.refuses(bank, upload.with_body(change(upload.body), bank.key), kind, words)


@pytest.mark.parametrize("act", ["truncated", "one byte too long", "a bit of the body flipped", "noise"])
def test_a_contribution_is_refused_whose_bytes_are_not_the_signed_ones(contribution, act):
    world, bank, upload = contribution
    world.refuses(bank, upload.with_body(BAD_BYTES[act][0](upload.body)), P.STATEMENT_INVALID, "bytes that were signed")


BAD_STATEMENTS = {
    "another round": ({"round": 1}, P.WRONG_ROUND, "expected round 0, got round 1"),
    "another training": ({"training": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
    "another bank": ({"node": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
    "another query": ({"query": ZERO}, P.HISTORY_FORKED, "query and history"),
    "another history": ({"history": ZERO}, P.HISTORY_FORKED, "query and history"),
    "another digest": ({"digest": ZERO}, P.STATEMENT_INVALID, "bytes that were signed"),
    "another size": ({"size_bytes": 5}, P.STATEMENT_INVALID, "bytes that were signed"),
}


@pytest.mark.parametrize("act", BAD_STATEMENTS)
def test_a_contribution_is_refused_whose_statement_names(contribution, act):
    world, bank, upload = contribution
    changes, kind, words = BAD_STATEMENTS[act]
    world.refuses(bank, upload.resigned(bank.key, **changes), kind, words)
    # The same change without a new signature is noticed first.
    forged = upload.signed.model_copy(update={"statement": upload.signed.statement.model_copy(update=changes)})
    world.refuses(bank, upload.with_statement(forged), P.STATEMENT_INVALID, "signature by the named key")


def test_a_contribution_is_refused_whose_statement_another_key_has_signed(contribution):
    world, bank, upload = contribution
    world.refuses(bank, upload.resigned(world.banks[0].key), P.STATEMENT_INVALID, "signature by the named key")
    broken = upload.signed.model_copy(update={"signature": "AAAA"})
    world.refuses(bank, upload.with_statement(broken), P.STATEMENT_INVALID, "signature by the named key")


def test_another_banks_contribution_is_refused_under_ones_own_token(contribution):
    world, bank, upload = contribution
    theirs = another_banks(world)
    world.refuses(bank, theirs, P.STATEMENT_INVALID, "signature by the named key")
    # Nor copied under a statement of one's own: the sum would hold the other's numbers twice.
    world.refuses(bank, upload.with_body(theirs.body, bank.key), P.MALFORMED_CONTRIBUTION, "sender")


def test_a_contribution_is_refused_whose_statement_is_of_another_kind(contribution):
    world, bank, upload = contribution
    vote = vote_by(world, bank, 0, bank.node).signed
    world.refuses(bank, upload.with_statement(vote), P.STATEMENT_INVALID, "expected tag 'contribution'")


def test_a_contribution_is_refused_at_another_address(contribution):
    world, bank, upload = contribution
    for path, kind in (
        (upload.path.replace("rounds/0", "rounds/1"), P.WRONG_ROUND),
        (upload.path.replace("rounds/0", "rounds/999999999"), P.WRONG_ROUND),
        (upload.path.replace("rounds/0", "rounds/-1"), P.VALIDATION),
        (upload.path.replace("rounds/0", "rounds/99999999999"), P.VALIDATION),
        (upload.path.replace(world.training, OTHER), P.NOT_FOUND),
        (upload.path.replace(world.training, "training"), P.VALIDATION),
    ):
        world.refuses(bank, replace(upload, path=path), kind)


def test_a_contribution_is_refused_from_who_is_not_on_the_roster(contribution):
    world, _, upload = contribution
    for outsider in (world.spare, world.stranger):
        own = upload.with_body(upload.body, outsider.key, node=outsider.node)
        world.refuses(outsider, own, P.NOT_ON_ROSTER, "expected a bank on the roster")


def test_a_vote_is_refused_before_the_contributor_set_is_fixed(contribution):
    world, bank, _ = contribution
    upload = vote_by(world, committee(world)[0], 0, bank.node)
    world.refuses(committee(world)[0], upload, P.WRONG_STATE, "got state collecting")


def test_a_share_is_refused_before_the_contributor_set_is_fixed(contribution):
    world, bank, upload = contribution
    statement = ShareStatement(
        training=world.training, round=0, node=bank.node, history=upload.signed.statement.history, contributors=ZERO,
        pieces=(0,), digest=sha256_hex(upload.body), size_bytes=len(upload.body),
    )  # fmt: skip
    share = Upload.binary(f"trainings/{world.training}/rounds/0/shares/0", upload.body, bank.sign(statement))
    world.refuses(bank, share, P.WRONG_ROUND, "expected an assignment of this bank")


def test_a_second_contribution_is_refused_and_the_first_is_kept_byte_for_byte(contribution):
    world, bank, upload = contribution
    first = world.send(bank, upload)
    assert first.is_success
    query = bank.algorithm.next_query(bank.state)
    vector = to_fixed_point(query, bank.algorithm.contribution(bank.state, query, bank._data, {}))
    forgetful = Encryptor(bank.ceremony, uuid_bytes(bank.node), bank.secret)  # one that does not refuse a second time
    second = upload.with_body(forgetful.encrypt(bank._round_id(0, query), vector + 1), bank.key)
    assert second.body != upload.body
    world.refuses(bank, second, P.FORBIDDEN_MUTATION, "expected the contribution sent before")
    world.refuses(bank, upload.with_body(flipped(upload.body, 7), bank.key), P.MALFORMED_CONTRIBUTION)
    with world.runtime.db.reading("test") as s:
        kept = s.execute(
            select(Contribution.inline, Contribution.statement, Contribution.state).where(
                Contribution.node == bank.node, Contribution.round == 0
            )
        ).one()
    assert tuple(kept) == (upload.body, upload.signed.model_dump_json(), "accepted")
    with world.unchanged():
        again = world.send(bank, upload)
    assert (again.status_code, again.content) == (first.status_code, first.content)


# Votes in round 0.


def committee(world: World) -> list[SmallBank]:
    return [world.bank(node) for node in world.banks[0].roster.committee]


def outside(world: World) -> SmallBank:
    """The bank on the roster that does not decrypt."""
    return next(bank for bank in world.banks if bank.node not in world.banks[0].roster.committee)


@pytest.fixture
def vote(world) -> tuple[World, SmallBank, Upload]:
    """A committee member's vote that the service would take."""
    owed = world.until("vote")
    bank = committee(world)[0]
    return world, bank, withheld(bank, owed[bank.node])[0]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"round": 1}, P.WRONG_ROUND, "expected round 0, got round 1"),
        ({"training": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
        ({"node": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
        ({"query": ZERO}, P.HISTORY_FORKED, "query and history"),
        ({"history": ZERO}, P.HISTORY_FORKED, "query and history"),
        ({"contributors": ()}, P.STATEMENT_INVALID, "round's contributor set"),
        ({"contributors": (OTHER,)}, P.STATEMENT_INVALID, "round's contributor set"),
    ],
    ids=str,
)
def test_a_vote_is_refused_that_names(vote, changes, kind, words):
    world, bank, upload = vote
    world.refuses(bank, upload.resigned(bank.key, **changes), kind, words)
    forged = upload.signed.model_copy(update={"statement": upload.signed.statement.model_copy(update=changes)})
    world.refuses(bank, upload.with_statement(forged), P.STATEMENT_INVALID, "signature by the named key")


def test_a_vote_is_refused_for_a_part_of_the_contributor_set(vote):
    world, bank, upload = vote
    fewer = upload.signed.statement.contributors[:-1]
    world.refuses(bank, upload.resigned(bank.key, contributors=fewer), P.STATEMENT_INVALID, "contributor set")


def test_a_vote_is_refused_from_who_is_not_on_the_committee(vote):
    world, _, upload = vote
    other = outside(world)
    world.refuses(other, upload.resigned(other.key, node=other.node), P.NOT_ON_ROSTER, "a committee member")
    for outsider in (world.spare, world.stranger):
        world.refuses(outsider, upload.resigned(outsider.key, node=outsider.node), P.NOT_ON_ROSTER, "on the roster")


def test_anothers_vote_is_refused(vote):
    world, bank, upload = vote
    world.refuses(committee(world)[1], upload, P.STATEMENT_INVALID, "signature by the named key")
    world.refuses(bank, upload.resigned(committee(world)[1].key), P.STATEMENT_INVALID, "signature by the named key")


def test_a_contribution_is_refused_after_the_contributor_set_is_fixed_and_the_same_again_is_not(vote):
    world, *_ = vote
    bank = world.banks[2]
    statement, data = bank._contributed[0]
    upload = Upload.binary(f"trainings/{world.training}/rounds/0/contribution", data, statement)
    with world.unchanged():
        assert world.send(bank, upload).is_success
    other = upload.with_body(spoil(data, bank.ceremony.parameters.residue_bytes), bank.key)
    world.refuses(bank, other, P.FORBIDDEN_MUTATION, "expected the contribution sent before")


def test_a_second_vote_is_refused_and_the_first_is_kept(vote):
    world, bank, upload = vote
    first = world.send(bank, upload)
    assert first.is_success
    fewer = upload.signed.statement.contributors[:-1]
    world.refuses(bank, upload.resigned(bank.key, contributors=fewer), P.FORBIDDEN_MUTATION, "the vote sent before")
    with world.unchanged():
        assert world.send(bank, upload).content == first.content


# Shares of round 0.


@pytest.fixture
def share(world) -> tuple[World, SmallBank, Upload]:
    """A member's share that the service would take."""
    owed = world.until("share")
    bank = next(bank for bank in world.banks if bank.node in owed)
    return world, bank, withheld(bank, owed[bank.node])[0]


BAD_SHARES = {
    "truncated": (lambda data: data[:-1], P.STATEMENT_INVALID, "bytes that were signed"),
    "one byte too long": (lambda data: data + b"\0", P.STATEMENT_INVALID, "bytes that were signed"),
    "a bit of the magic flipped": (lambda data: flipped(data, 3), P.MALFORMED_SHARE, "header"),
    "a bit of the body flipped": (lambda data: flipped(data, 8 * 500), P.MALFORMED_SHARE, "body that its header"),
    "of another round": (lambda data: with_header(data, round=1), P.MALFORMED_SHARE, "round: expected 0, got 1"),
    "of another training": (lambda data: with_header(data, training=bytes(16)), P.MALFORMED_SHARE, "training"),
    "of another member": (lambda data: with_header(data, sender=bytes(16)), P.MALFORMED_SHARE, "sender"),
    "of other parameters": (
        lambda data: with_header(data, parameter_id=bytes(16)), P.MALFORMED_SHARE, "expected a valid",
    ),
    "for other pieces": (lambda data: with_header(data, pieces=(100,)), P.MALFORMED_SHARE, "pieces"),
    "for no contributor set": (
        lambda data: with_header(data, contributors_digest=bytes(32)), P.MALFORMED_SHARE, "contributor set",
    ),
    "that is a contribution": (
        lambda data: with_header(data, kind=crypto.Kind.CONTRIBUTION), P.MALFORMED_SHARE, "expected a share",
    ),
    "with residues beyond the prime": (residues_beyond_the_prime, P.MALFORMED_SHARE, "below the prime"),
}  # fmt: skip


@pytest.mark.parametrize("act", BAD_SHARES)
def test_a_share_is_refused_whose_signed_bytes_are(share, act):
    world, bank, upload = share
    change, kind, words = BAD_SHARES[act]
    world.refuses(bank, upload.with_body(change(upload.body), bank.key), kind, words)
    world.refuses(bank, upload.with_body(change(upload.body)), P.STATEMENT_INVALID, "bytes that were signed")


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"round": 1}, P.WRONG_ROUND, "expected round 0, got round 1"),
        ({"training": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
        ({"node": OTHER}, P.STATEMENT_INVALID, "training and node of the request"),
        ({"history": ZERO}, P.HISTORY_FORKED, "history of the round"),
        ({"contributors": ZERO}, P.STATEMENT_INVALID, "contributor set and the pieces assigned"),
        ({"pieces": (0, 1, 2, 3, 4, 5)}, P.STATEMENT_INVALID, "contributor set and the pieces assigned"),
        ({"pieces": ()}, P.STATEMENT_INVALID, "contributor set and the pieces assigned"),
        ({"digest": ZERO}, P.STATEMENT_INVALID, "bytes that were signed"),
    ],
    ids=str,
)
def test_a_share_is_refused_whose_statement_names(share, changes, kind, words):
    world, bank, upload = share
    world.refuses(bank, upload.resigned(bank.key, **changes), kind, words)
    forged = upload.signed.model_copy(update={"statement": upload.signed.statement.model_copy(update=changes)})
    world.refuses(bank, upload.with_statement(forged), P.STATEMENT_INVALID, "signature by the named key")


def test_a_share_is_refused_that_opens_another_contributor_set(share):
    world, bank, upload = share
    owed = world.until("share")[bank.node]
    fewer = [signed.statement.node for signed in owed.contributors][:-1]
    query = bank.algorithm.next_query(bank.state)
    data = bank.decryptor.share(bank._round_id(0, query), [uuid_bytes(node) for node in fewer], owed.pieces)
    # Whether it admits it or not.
    named = contributors_digest([NodeId(node) for node in fewer])
    admitted = upload.with_body(data, bank.key, contributors=named)
    world.refuses(bank, admitted, P.STATEMENT_INVALID, "expected the contributor set")
    world.refuses(bank, upload.with_body(data, bank.key), P.MALFORMED_SHARE, "contributor set")


def test_a_share_is_refused_for_pieces_that_were_not_assigned(share):
    world, bank, upload = share
    owed = world.until("share")[bank.node]
    held = crypto.pieces_of(4, bank.roster.threshold, bank.roster.committee.index(bank.node))
    # All that it holds may have been assigned to it; then fewer of them are as wrong.
    others = tuple(piece for piece in held if piece not in owed.pieces) or owed.pieces[1:]
    assert others not in {(), owed.pieces}
    query = bank.algorithm.next_query(bank.state)
    contributors = [uuid_bytes(signed.statement.node) for signed in owed.contributors]
    data = bank.decryptor.share(bank._round_id(0, query), contributors, others)
    admitted = upload.with_body(data, bank.key, pieces=others)
    world.refuses(bank, admitted, P.STATEMENT_INVALID, "the pieces assigned")
    world.refuses(bank, upload.with_body(data, bank.key), P.MALFORMED_SHARE, "pieces")


def test_a_share_is_refused_from_who_was_not_asked(share):
    world, bank, upload = share
    for other in (outside(world), *(member for member in committee(world) if member is not bank)):
        own = upload.with_body(upload.body, other.key, node=other.node)
        world.refuses(other, own, P.WRONG_ROUND, "expected an assignment of this bank")
    for outsider in (world.spare, world.stranger):
        own = upload.with_body(upload.body, outsider.key, node=outsider.node)
        world.refuses(outsider, own, P.NOT_ON_ROSTER, "on the roster")


def test_a_share_is_refused_that_another_key_has_signed(share):
    world, bank, upload = share
    world.refuses(bank, upload.resigned(world.stranger.key), P.STATEMENT_INVALID, "signature by the named key")


def test_a_share_is_refused_at_another_assignment_or_round(share):
    world, bank, upload = share
    number = upload.path.rpartition("/")[2]
    for path, kind in (
        (upload.path.replace(f"shares/{number}", "shares/77"), P.WRONG_ROUND),
        (upload.path.replace("rounds/0", "rounds/1"), P.WRONG_ROUND),
        (upload.path.replace(f"shares/{number}", "shares/x"), P.VALIDATION),
    ):
        world.refuses(bank, replace(upload, path=path), kind)


def test_a_vote_is_refused_that_was_cast_for_another_round(share):
    world, *_ = share
    bank = committee(world)[3]
    upload = vote_by(world, bank, 1, bank.node)
    world.refuses(bank, upload, P.WRONG_ROUND, "round 1")


def test_a_second_share_is_refused_and_the_first_is_kept_byte_for_byte(share):
    world, bank, upload = share
    first = world.send(bank, upload)
    assert first.is_success
    other = upload.with_body(spoil(upload.body, bank.ceremony.parameters.residue_bytes), bank.key)
    world.refuses(bank, other, P.FORBIDDEN_MUTATION, "expected the share sent before")
    with world.runtime.db.reading("test") as s:
        kept = s.execute(
            select(Assignment.inline, Assignment.statement).where(
                Assignment.round == 0, Assignment.number == int(upload.path.rpartition("/")[2])
            )
        ).one()
    assert tuple(kept) == (upload.body, upload.signed.model_dump_json())
    with world.unchanged():
        again = world.send(bank, upload)
    assert (again.status_code, again.content) == (first.status_code, first.content)


# Rounds 1 and 2: who is late.


def pass_deadline(world: World) -> None:
    world.clock.ahead_s += LONG_S + 1
    reconcile(world.runtime)


def test_a_contribution_is_refused_after_the_deadline_and_the_round_goes_on_without_it(world):
    owed = world.until("contribute", 1)
    late = world.banks[4]
    upload = withheld(late, owed[late.node])[0]
    for bank in world.banks[:4]:
        bank.perform(owed[bank.node])
    world.left_out[1] = {4}
    pass_deadline(world)
    world.refuses(late, upload, P.DEADLINE_PASSED, "expected a round that still collects")
    with world.runtime.db.reading("test") as s:
        row = s.get_one(Round, (world.training, 1))
    assert row.contributors == sorted(bank.node for bank in world.banks[:4])


def test_a_share_is_refused_after_its_pieces_were_asked_of_others(world):
    owed = world.until("share", 1)
    late = next(bank for bank in world.banks if bank.node in owed)
    upload = withheld(late, owed[late.node])[0]
    pass_deadline(world)
    world.refuses(late, upload, P.DEADLINE_PASSED, "expected an assignment that is still open")


def test_what_was_for_an_applied_round_is_refused_in_the_next_one(world):
    owed = world.until("contribute", 2)
    bank = committee(world)[0]
    for upload in withheld(bank, owed[bank.node]):
        world.refuses(bank, replace(upload, path=upload.path.replace("rounds/2", "rounds/0")), P.WRONG_ROUND)
        earlier = upload.resigned(bank.key, round=1)
        earlier = replace(earlier, path=upload.path.replace("rounds/2", "rounds/1"))
        world.refuses(bank, earlier, P.HISTORY_FORKED, "query and history")
    for voter in committee(world):
        upload = vote_by(world, voter, 1, voter.node)
        voted = any(row[2] == voter.node and row[1] == 1 for row in world.accepted()["votes"])
        world.refuses(voter, upload, P.FORBIDDEN_MUTATION if voted else P.DEADLINE_PASSED)
    statement = ShareStatement(
        training=world.training, round=2, node=bank.node, history=ZERO, contributors=ZERO, pieces=(0,), digest=ZERO,
        size_bytes=1,
    )  # fmt: skip
    early = Upload.binary(f"trainings/{world.training}/rounds/2/shares/0", b"x", bank.sign(statement))
    world.refuses(bank, early, P.WRONG_ROUND, "an assignment of this bank")
