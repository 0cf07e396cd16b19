"""The key ceremony: what holders check, and which deals they refuse."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

import crypto
from crypto.dealing import (
    DIGEST_BYTES,
    SEED_BYTES,
    _sealing_info,
    commitment,
    expand_piece,
    noise_key,
    open_deal,
)
from crypto.errors import DealInvalid, NotHeld, ParameterError, PiecesNotCovered
from crypto.kernels import add_modular
from crypto.member import Ceremony, CommitteeKeyBuilder, SealingKey, SecretKey, deal, seal
from crypto.ring import ring_of
from tests.common.sums import Banks, identifier


@pytest.fixture
def ceremony() -> Ceremony:
    parameters = crypto.derive(crypto.ParameterSpec(44, 4, 3, 2))
    ids = tuple(sorted(identifier(str(k)) for k in range(4)))
    return Ceremony(parameters, identifier("training"), ids, ids[:3])


@pytest.fixture
def sealing(ceremony):
    return {member: SealingKey.generate() for member in ceremony.committee}


def dealt(ceremony, sealing, dealer=0):
    secret = SecretKey.generate(ceremony.parameters)
    public = {member: key.public_bytes for member, key in sealing.items()}
    return secret, deal(ceremony, ceremony.dealers[dealer], secret, public)


def test_the_pieces_add_up_to_the_key_and_any_two_members_have_them_all(ceremony, sealing):
    secret, made = dealt(ceremony, sealing)
    dealer = ceremony.dealers[0]
    opened = {
        index: open_deal(ceremony, dealer, member, sealing[member], made.commitments, made.sealed[member])
        for index, member in enumerate(ceremony.committee)
    }
    for pair in combinations(range(3), 2):
        sums = [np.zeros(8192, dtype=np.uint64) for _ in range(2)]
        for piece in range(3):
            holder = next(index for index in pair if piece in opened[index].seeds)
            residues = (
                opened[holder].last
                if piece == 2
                else expand_piece(ceremony, dealer, piece, opened[holder].seeds[piece])
            )
            for prime, into, more in zip(ring_of(ceremony.parameters).primes, sums, residues, strict=True):
                add_modular(into, more, prime.p)
        for into, expected in zip(sums, secret.evaluations(), strict=True):
            assert np.array_equal(into, expected)


def test_a_deal_that_differs_from_its_commitments_is_refused(ceremony, sealing):
    _, made = dealt(ceremony, sealing)
    member = ceremony.committee[0]
    builder = CommitteeKeyBuilder(ceremony, member, sealing[member])
    good = made.commitments, made.sealed[member]
    held = crypto.pieces_of(3, 2, 0)
    damaged = bytearray(made.commitments)
    damaged[held[0] * DIGEST_BYTES] ^= 1
    other_member = ceremony.committee[1]
    for commitments, sealed in (
        (bytes(damaged), good[1]),
        (good[0][:-1], good[1]),
        (b"", good[1]),
        (good[0], good[1][:-1]),
        (good[0], b""),
        (good[0], made.sealed[other_member]),
    ):
        with pytest.raises(DealInvalid):
            builder.receive(ceremony.dealers[0], commitments, sealed)
    with pytest.raises(DealInvalid, match="pieces"):
        builder.receive(ceremony.dealers[1], *good)  # another bank's deal passed off as this one's
    with pytest.raises(DealInvalid):
        builder.finish()


def test_two_holders_given_different_pieces_see_it(ceremony, sealing):
    """An equivocating dealer: what it seals to one holder does not match what all have seen."""
    _, first = dealt(ceremony, sealing)
    _, second = dealt(ceremony, sealing)
    member = ceremony.committee[1]
    with pytest.raises(DealInvalid, match="committed"):
        open_deal(ceremony, ceremony.dealers[0], member, sealing[member], first.commitments, second.sealed[member])


def test_a_deal_of_another_training_or_attempt_does_not_open(ceremony, sealing):
    _, made = dealt(ceremony, sealing)
    member = ceremony.committee[0]
    for other in (replace(ceremony, attempt=1), replace(ceremony, training=identifier("another"))):
        with pytest.raises(DealInvalid):
            open_deal(other, ceremony.dealers[0], member, sealing[member], made.commitments, made.sealed[member])


def test_a_well_sealed_message_of_the_wrong_size_or_with_large_residues_is_refused(ceremony, sealing):
    dealer, member = ceremony.dealers[0], ceremony.committee[0]
    held = crypto.pieces_of(3, 2, 0)
    info = _sealing_info(ceremony, dealer, member)
    seeds = [os.urandom(SEED_BYTES) for _ in range(3)]
    public = sealing[member].public_bytes
    with pytest.raises(DealInvalid, match="pieces"):
        open_deal(ceremony, dealer, member, sealing[member], bytes(96), seal(public, b"x", info=info))
    last_holder = next(m for k, m in enumerate(ceremony.committee) if 2 in crypto.pieces_of(3, 2, k))
    large = b"\xff" * (2 * 8192 * 8)
    commitments = b"".join(commitment(ceremony, dealer, k, seeds[k], large if k == 2 else b"") for k in range(3))
    held = crypto.pieces_of(3, 2, ceremony.member_index(last_holder))
    plaintext = b"".join(seeds[piece] for piece in held) + large
    sealed = seal(sealing[last_holder].public_bytes, plaintext, info=_sealing_info(ceremony, dealer, last_holder))
    with pytest.raises(DealInvalid, match="below the prime"):
        open_deal(ceremony, dealer, last_holder, sealing[last_holder], commitments, sealed)


def test_noise_keys_need_every_dealer(ceremony):
    seeds = {dealer: os.urandom(32) for dealer in ceremony.dealers}
    keys = {noise_key(ceremony, piece, seeds) for piece in range(3)}
    assert len(keys) == 3
    changed = seeds | {ceremony.dealers[3]: os.urandom(32)}
    assert noise_key(ceremony, 0, changed) not in keys
    with pytest.raises(NotHeld):
        noise_key(ceremony, 0, {dealer: seeds[dealer] for dealer in ceremony.dealers[:3]})


def test_a_contributor_who_dealt_nothing_cannot_be_in_a_share():
    banks = Banks.meet(committee=3, threshold=2)
    with pytest.raises(NotHeld):
        banks.share(banks.round(0, 1), 0, [*banks.ids, identifier("stranger")], crypto.pieces_of(3, 2, 0))


def test_sealing_keys_are_needed_of_every_member(ceremony, sealing):
    public = {member: key.public_bytes for member, key in sealing.items()}
    del public[ceremony.committee[2]]
    with pytest.raises(DealInvalid):
        deal(ceremony, ceremony.dealers[0], SecretKey.generate(ceremony.parameters), public)


def test_ceremonies_that_cannot_be_are_refused(ceremony):
    for change in (
        {"dealers": ()},
        {"dealers": ceremony.dealers + ceremony.dealers[:1]},
        {"committee": ceremony.committee[:2]},
        {"training": b"short"},
        {"dealers": (b"short",)},
    ):
        with pytest.raises(ParameterError):
            replace(ceremony, **change)
    with pytest.raises(ParameterError):
        ceremony.dealer_index(identifier("stranger"))
    with pytest.raises(ParameterError):
        ceremony.member_index(ceremony.dealers[3])


@pytest.mark.parametrize(
    ("committee", "threshold", "pieces"), [(5, 3, 10), (7, 4, 35), (9, 5, 126), (5, 4, 10), (1, 1, 1)]
)
def test_any_t_members_hold_every_piece_and_any_fewer_miss_exactly_one(committee, threshold, pieces):
    layout = crypto.piece_layout(committee, threshold)
    assert len(layout) == pieces
    for members in combinations(range(committee), threshold):
        assert set().union(*(crypto.pieces_of(committee, threshold, m) for m in members)) == set(range(pieces))
    for members in combinations(range(committee), threshold - 1):
        held = set().union(*(crypto.pieces_of(committee, threshold, m) for m in members))
        assert len(held) == pieces - 1


def test_assignments_cover_every_piece_once_with_as_few_members_as_can_be():
    for available in combinations(range(7), 5):
        assignment = crypto.assign(7, 4, available=available)
        assert sorted(piece for pieces in assignment.values() for piece in pieces) == list(range(35))
        assert len(assignment) == 4
        assert set(assignment) <= set(available)
    with pytest.raises(PiecesNotCovered):
        crypto.assign(7, 4, available=(0, 1, 2))


def test_who_must_collude_to_learn_what():
    assert [crypto.default_threshold(m) for m in (3, 5, 7, 9)] == [3, 4, 5, 7]
    assert crypto.votes_needed(5, 1) == 4
    table = {row.who: row.learns for row in crypto.collusion_table(5, 3)}
    assert table["a lying server and 1 committee member"].startswith("the difference")
    assert any(row.who.startswith("a lying server and up to 2") for row in crypto.collusion_table(5, 4))
    assert any("4 members sign" in row.learns for row in crypto.collusion_table(5, 3, agreement=True))
    with pytest.raises(ParameterError):
        crypto.collusion_table(3, 4)


def test_parameters_that_cannot_be_had_are_refused_with_the_arithmetic():
    with pytest.raises(ParameterError, match="second prime of"):
        crypto.derive(crypto.ParameterSpec(46, 1000, 5, 4))
    for wrong in (
        (0, 5, 5, 3),
        (49, 5, 5, 3),
        (44, 0, 5, 3),
        (44, 5, 10, 3),
        (44, 5, 5, 6),
        (44, 5, 5, 0),
        (44.0, 5, 5, 3),
    ):
        with pytest.raises(ParameterError):
            crypto.ParameterSpec(*wrong)


def test_the_id_names_the_parameters():
    ids = {
        crypto.derive(crypto.ParameterSpec(bits, banks, 5, threshold)).id
        for bits in (30, 44) for banks in (5, 6) for threshold in (3, 4)
    }  # fmt: skip
    assert len(ids) == 8
    assert crypto.derive(crypto.ParameterSpec(44, 5, 5, 4)).id == crypto.derive(crypto.ParameterSpec(44, 5, 5, 4)).id
