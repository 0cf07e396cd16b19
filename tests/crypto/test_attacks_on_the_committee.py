"""Attacks by members who collude with the server: too few of them, a ciphertext passed off as a sum, equivocation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

import crypto
from crypto.errors import CheckFailed, KeyDestroyed, NotHeld, PiecesNotCovered, SecondContributorSet
from crypto.member import AnswerRecord, Decryptor, Encryptor, Identity, verify
from crypto.summation import unpack_chunk
from tests.common.sums import Banks, body, integers, open_sum, total

VALUES = 8191


def opened(round_id, summed: bytes, shares) -> np.ndarray:
    """What an attacker who skips every check has: y = c_U + Σ d_j mod q0."""
    bodies = [body(round_id, share) for share in shares]
    return unpack_chunk(round_id, crypto.sum_chunks(round_id, 0, 1, [summed, *bodies]), 0)


def assert_noise(round_id, y: np.ndarray, secret: np.ndarray) -> None:
    """Uniform modulo q0 and unrelated to a bank's vector."""
    fractions = y[1:].astype(np.float64) / round_id.parameters.q0
    assert stats.kstest(fractions, "uniform").pvalue > 1e-6
    signed = np.where(fractions > 0.5, fractions - 1, fractions)
    assert abs(np.corrcoef(signed, secret)[0, 1]) < 0.06


@pytest.fixture(scope="module")
def banks() -> Banks:
    return Banks.meet(committee=5, threshold=3)


@pytest.fixture(scope="module")
def five_sums(banks):
    round_id = banks.round(0, VALUES)
    vectors = {bank: integers(k, VALUES, 41) for k, bank in enumerate(banks.ids)}
    return round_id, vectors, banks.contribute(round_id, vectors)


@pytest.mark.parametrize("colluders", list(combinations(range(5), 2)))
def test_any_two_of_a_threshold_of_three_and_the_server_reconstruct_noise(banks, five_sums, colluders):
    round_id, vectors, messages = five_sums
    summed = total(round_id, list(messages.values()))
    held = {piece for member in colluders for piece in crypto.pieces_of(5, 3, member)}
    assert len(held) == 9, "t - 1 members miss exactly one piece of ten"
    shares, left = [], set(held)
    for member in colluders:
        mine = left & set(crypto.pieces_of(5, 3, member))
        left -= mine
        shares.append(banks.share(round_id, member, banks.ids, sorted(mine)))
    assert_noise(round_id, opened(round_id, summed, shares), sum(vectors.values()))
    with pytest.raises(CheckFailed):
        open_sum(round_id, summed, shares, 5)
    # One bank's own ciphertext, and their pieces of its key only.
    victim = banks.ids[0]
    alone = []
    left = set(held)
    for member in colluders:
        mine = left & set(crypto.pieces_of(5, 3, member))
        left -= mine
        alone.append(banks.share(round_id, member, [victim], sorted(mine)))
    assert_noise(round_id, opened(round_id, total(round_id, [messages[victim]]), alone), vectors[victim])


def test_a_member_cannot_make_a_share_of_a_piece_that_it_does_not_hold(banks, five_sums):
    round_id = five_sums[0]
    missing = set(range(10)) - set(crypto.pieces_of(5, 3, 0))
    with pytest.raises(NotHeld):
        banks.share(round_id, 0, banks.ids, sorted(missing)[:1])


def test_one_banks_ciphertext_passed_off_as_the_sum_is_noise(banks, five_sums):
    round_id, vectors, messages = five_sums
    shares = banks.shares(round_id, banks.ids, banks.assign())
    victim = banks.ids[2]
    single = total(round_id, [messages[victim]])
    assert_noise(round_id, opened(round_id, single, shares), vectors[victim])
    for claimed in (1, 5):
        with pytest.raises(CheckFailed):
            open_sum(round_id, single, shares, claimed)
    four = total(round_id, [messages[bank] for bank in banks.ids if bank != victim])
    assert_noise(round_id, opened(round_id, four, shares), vectors[victim])


def test_a_share_is_made_before_any_ciphertext_exists_and_is_the_same_after(banks):
    round_id = banks.round(1, 100)
    before = banks.shares(round_id, banks.ids, banks.assign())
    messages = banks.contribute(round_id, {bank: integers(k, 100, 20) for k, bank in enumerate(banks.ids)})
    assert banks.shares(round_id, banks.ids, banks.assign()) == before
    assert np.array_equal(
        open_sum(round_id, total(round_id, list(messages.values())), before, 5),
        sum(integers(k, 100, 20) for k in range(5)),
    )


def test_two_contributor_sets_of_one_round_open_a_banks_numbers_so_the_record_refuses_the_second(
    banks, five_sums, tmp_path
):
    round_id, vectors, messages = five_sums
    victim = banks.ids[4]
    first, second = banks.ids, tuple(bank for bank in banks.ids if bank != victim)

    def both_opened(answer) -> bool:
        sums = []
        for contributors in (first, second):
            shares = [answer(member, contributors, pieces) for member, pieces in banks.assign().items()]
            if any(share is None for share in shares):
                return False
            summed = total(round_id, [messages[bank] for bank in contributors])
            sums.append(open_sum(round_id, summed, shares, len(contributors)))
        return bool(np.array_equal(sums[0] - sums[1], vectors[victim]))

    assert both_opened(lambda member, contributors, pieces: banks.share(round_id, member, contributors, pieces))

    def recorded(member, contributors, pieces):
        # Opened from disk for every request, as after a restart.
        with AnswerRecord(tmp_path / f"{member}.answers") as record:
            try:
                record.record_contributors(round_id.round, contributors)
            except SecondContributorSet:
                return None
        return banks.share(round_id, member, contributors, pieces)

    assert not both_opened(recorded)


class Member:
    """An honest member: votes and answers for one contributor set of a round; with agreement only after the votes."""

    def __init__(self, banks: Banks, index: int, path, *, votes: int = 0) -> None:
        self.banks, self.index, self.votes = banks, index, votes
        self.identity = Identity.generate()
        self.record = AnswerRecord(path / f"{index}.answers")

    def vote(self, round_id, contributors) -> bytes | None:
        try:
            self.record.record_contributors(round_id.round, contributors)
        except SecondContributorSet:
            return None
        return self.identity.sign(crypto.contributors_digest(contributors), context=b"vote")

    def share(self, round_id, contributors, pieces, votes, identities) -> bytes | None:
        digest = crypto.contributors_digest(contributors)
        for voter, signature in votes.items():
            verify(identities[voter], signature, digest, context=b"vote")
        if len(votes) < self.votes or self.vote(round_id, contributors) is None:
            return None
        return self.banks.share(round_id, self.index, contributors, pieces)


def equivocate(banks: Banks, path, *, votes: int) -> int:
    """A lying server and one colluding member (4) name U1 to members 0, 1 and U2 to 2, 3; how many sums open."""
    threshold = banks.spec.threshold
    members = [Member(banks, index, path, votes=votes) for index in range(5)]
    identities = {member.index: member.identity.public_bytes for member in members}
    round_id = banks.round(2, 50)
    vectors = {bank: integers(k, 50, 30) for k, bank in enumerate(banks.ids)}
    messages = banks.contribute(round_id, vectors)
    sums = {}
    for asked, contributors in (((0, 1), banks.ids), ((2, 3), banks.ids[1:])):
        signed = {index: members[index].vote(round_id, contributors) for index in asked}
        signed[4] = members[4].identity.sign(crypto.contributors_digest(contributors), context=b"vote")
        try:
            assignment = crypto.assign(5, threshold, available=(*asked, 4))
        except PiecesNotCovered:
            continue
        shares = [
            banks.share(round_id, index, contributors, pieces)
            if index == 4
            else members[index].share(round_id, contributors, pieces, signed, identities)
            for index, pieces in assignment.items()
        ]
        if all(share is not None for share in shares):
            summed = total(round_id, [messages[bank] for bank in contributors])
            sums[contributors] = open_sum(round_id, summed, shares, len(contributors))
    for member in members:
        member.record.close()
    if len(sums) == 2:
        assert np.array_equal(sums[banks.ids] - sums[banks.ids[1:]], vectors[banks.ids[0]])
    return len(sums)


def test_equivocation_opens_both_sums_of_3_of_5_without_agreement_and_neither_with_it(tmp_path):
    for name, votes, expected in (("without", 0, 2), ("with", crypto.votes_needed(5, 1), 0)):
        path = tmp_path / name
        path.mkdir()
        assert equivocate(Banks.meet(committee=5, threshold=3, training=name), path, votes=votes) == expected


def test_equivocation_opens_neither_sum_of_4_of_5(tmp_path):
    assert crypto.default_threshold(5) == 4
    assert crypto.equivocation_colluders(5, 4) == 2
    assert equivocate(Banks.meet(committee=5, threshold=4), tmp_path, votes=0) == 0


def test_destroyed_keys_answer_nothing_more(tmp_path):
    banks = Banks.meet(committee=3, threshold=2)
    round_id, member, bank = banks.round(0, 10), banks.ceremony.committee[0], banks.ids[0]
    decryptor = Decryptor(banks.ceremony, member, banks.committee_keys[member])
    banks.committee_keys[member].destroy()
    banks.secrets[bank].destroy()
    with pytest.raises(KeyDestroyed):
        decryptor.share(round_id, banks.ids, crypto.pieces_of(3, 2, 0))
    with pytest.raises(KeyDestroyed):
        Encryptor(banks.ceremony, bank, banks.secrets[bank])
    with pytest.raises(KeyDestroyed):
        banks.committee_keys[member].to_bytes()
