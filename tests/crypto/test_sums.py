"""Sums from integers to integers: exact for every threshold, contributor set, assignment, length and magnitude."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crypto
from crypto import kernels
from crypto.errors import (
    CheckFailed,
    CryptoError,
    MalformedMessage,
    PiecesNotCovered,
    SecondContribution,
    ValueOutOfBounds,
)
from crypto.member import Encryptor
from crypto.parameters import error_bound
from crypto.ring import ring_of
from crypto.summation import unpack_chunk
from tests.common.sums import Banks, body, integers, open_sum, total


@lru_cache(maxsize=64)
def met(committee: int, threshold: int, banks: int, sum_bits: int) -> Banks:
    return Banks.meet(committee=committee, threshold=threshold, banks=banks, sum_bits=sum_bits)


@st.composite
def settings_of_a_sum(draw):
    committee = draw(st.integers(1, 6))
    threshold = draw(st.integers(1, committee))
    banks = committee + draw(st.integers(0, 2))
    sum_bits = draw(st.sampled_from([10, 36, 44]))
    contributors = draw(st.sets(st.integers(0, banks - 1), min_size=1))
    available = draw(st.permutations(range(committee)))[: draw(st.integers(threshold, committee))]
    values = draw(st.sampled_from([1, 2, 100, 8190, 8191, 8192, 16383]))
    share_of_bound = draw(st.sampled_from([0.0, 1e-6, 0.5, 1.0]))
    return committee, threshold, banks, sum_bits, sorted(contributors), available, values, share_of_bound


_rounds = iter(range(1 << 30))


@settings(max_examples=120, deadline=None)
@given(settings_of_a_sum())
def test_any_t_members_open_the_exact_sum(drawn):
    committee, threshold, count, sum_bits, chosen, available, values, share_of_bound = drawn
    banks = met(committee, threshold, count, sum_bits)
    contributors = [banks.ids[k] for k in chosen]
    round_id = banks.round(next(_rounds), values)
    # At the bound: the sum reaches ± 2^sum_bits exactly.
    most = int((1 << sum_bits) * share_of_bound) // len(contributors)
    generator = np.random.default_rng(values)
    vectors = {bank: generator.choice([-most, most, 0, most // 3], values) for bank in contributors}
    messages = banks.contribute(round_id, vectors)
    assert {len(message) for message in messages.values()} == {round_id.message_bytes}
    for bank, message in messages.items():
        crypto.check_contribution(round_id, bank, message)
    assignment = banks.assign(available)
    shares = banks.shares(round_id, contributors, assignment)
    for (member, pieces), share in zip(assignment.items(), shares, strict=True):
        crypto.check_share(round_id, banks.ceremony.committee[member], contributors, pieces, share)
    summed = total(round_id, list(messages.values()))
    assert np.array_equal(open_sum(round_id, summed, shares, len(contributors)), sum(vectors.values()))


@pytest.mark.parametrize(("committee", "threshold"), [(5, 3), (7, 4), (9, 5)])
def test_the_error_is_within_the_computed_bound_and_below_2_to_minus_16_of_a_real(committee, threshold):
    """Sums up to 2^24 in reals, resolution 2^-20: 2^44 units; smudging of 2^-40 a chunk."""
    banks = Banks.meet(committee=committee, threshold=threshold)
    parameters = banks.ceremony.parameters
    assert parameters.spec.smudging_bits == 40
    values, worst = 8191 * 12, 0
    round_id = banks.round(0, values)
    reals = {
        bank: np.random.default_rng(k).uniform(-(2.0**24), 2.0**24, values) / committee
        for k, bank in enumerate(banks.ids)
    }
    vectors = {bank: crypto.quantise(parameters, x, resolution=2.0**-20) for bank, x in reals.items()}
    messages = banks.contribute(round_id, vectors)
    shares = banks.shares(round_id, banks.ids, banks.assign())
    summed = total(round_id, list(messages.values()))
    opened = crypto.dequantise(open_sum(round_id, summed, shares, committee), resolution=2.0**-20)
    assert np.abs(opened - sum(reals.values())).max() < 2.0**-16
    bound = error_bound(parameters, contributors=committee, shares=len(shares))
    size = 8192 * parameters.residue_bytes
    together = crypto.sum_chunks(round_id, 0, round_id.chunks, [summed, *(body(round_id, share) for share in shares)])
    q0 = ring_of(parameters).primes[0].p
    for chunk in range(round_id.chunks):
        y = unpack_chunk(round_id, together[chunk * size : (chunk + 1) * size], chunk)
        out = np.empty(8192, dtype=np.int64)
        worst = max(worst, kernels.decode(y, q0, np.uint64(parameters.scale), np.int64(bound), out)[1])
    assert worst <= bound <= 8 * worst, f"bound {bound}, seen {worst}"


def test_every_flipped_bit_of_a_message_is_refused_or_harmless_never_another_sum():
    banks = Banks.meet(committee=3, threshold=2)
    round_id = banks.round(0, 6)
    vectors = {bank: integers(k, 6, 40) for k, bank in enumerate(banks.ids)}
    summed = total(round_id, list(banks.contribute(round_id, vectors).values()))
    shares = banks.shares(round_id, banks.ids, banks.assign())
    expected, noticed = sum(vectors.values()), 0
    target = bytearray(shares[0])
    offset = round_id.byte_range(0, 1)[0]
    for bit in range(8 * (len(target) - offset)):
        target[offset + bit // 8] ^= 1 << bit % 8
        try:
            assert np.array_equal(open_sum(round_id, summed, [bytes(target), *shares[1:]], 3), expected)
        except CheckFailed:
            noticed += 1
        with pytest.raises(CryptoError):
            crypto.check_share(round_id, banks.ceremony.committee[0], banks.ids, banks.assign()[0], bytes(target))
        target[offset + bit // 8] ^= 1 << bit % 8
    assert noticed > 0.8 * 8 * (len(target) - offset)


def test_sums_beyond_the_bound_are_noticed():
    """Each bank is within the bound, the sum is not: one and two wraps of q0 read as errors, not as other sums."""
    banks = Banks.meet(committee=3, threshold=2, sum_bits=44)
    for number, (value, count) in enumerate([(1 << 44, 2), (1 << 44, 3), (-(1 << 44), 3)]):
        round_id = banks.round(number, 3)
        contributors = banks.ids[:count]
        messages = banks.contribute(round_id, {bank: np.full(3, value) for bank in contributors})
        shares = banks.shares(round_id, contributors, banks.assign())
        with pytest.raises(CheckFailed):
            open_sum(round_id, total(round_id, list(messages.values())), shares, count)


def test_vectors_that_must_not_be_encrypted_are_refused():
    banks = Banks.meet(committee=3, threshold=2, sum_bits=20)
    parameters, round_id, bank = banks.ceremony.parameters, banks.round(0, 4), banks.ids[0]
    for reals in ([np.nan, 0.0], [np.inf, 0.0], [-np.inf, 0.0], [2.0**21, 0.0]):
        with pytest.raises(ValueOutOfBounds):
            crypto.quantise(parameters, np.array(reals), resolution=1.0)
    for wrong in (np.zeros(2, dtype=np.float32), np.zeros((2, 2)), np.zeros(2, dtype=complex)):
        with pytest.raises(ValueOutOfBounds):
            crypto.quantise(parameters, wrong, resolution=1.0)
    with pytest.raises(ValueOutOfBounds):
        crypto.quantise(parameters, np.zeros(2), resolution=0.3)
    with pytest.raises(ValueOutOfBounds):
        banks.encryptor(bank).encrypt(round_id, np.array([0, 0, 0, (1 << 20) + 1]))
    with pytest.raises(ValueOutOfBounds):
        banks.encryptor(bank).encrypt(round_id, np.array([0, 0, 0, -(2**63)]))
    for shape in (3, 5, (4, 1)):
        with pytest.raises(MalformedMessage):
            banks.encryptor(bank).encrypt(round_id, np.zeros(shape, dtype=np.int64))


def test_a_round_is_encrypted_once():
    banks = Banks.meet(committee=3, threshold=2)
    encryptor, round_id = Encryptor(banks.ceremony, banks.ids[0], banks.secrets[banks.ids[0]]), banks.round(0, 4)
    encryptor.encrypt(round_id, np.zeros(4, dtype=np.int64))
    for again in (round_id, banks.round(0, 5)):
        with pytest.raises(SecondContribution):
            encryptor.encrypt(again, np.zeros(again.values, dtype=np.int64))


def test_prepared_masks_give_the_same_sums_on_any_number_of_threads():
    banks = Banks.meet(committee=3, threshold=2)
    round_id = banks.round(0, 30000)
    vectors = {bank: integers(k, 30000, 41) for k, bank in enumerate(banks.ids)}
    messages = []
    for threads, (bank, vector) in enumerate(vectors.items(), start=1):
        encryptor = Encryptor(banks.ceremony, bank, banks.secrets[bank], threads=threads)
        encryptor.prepare(round_id)
        messages.append(encryptor.encrypt(round_id, vector))
    shares = banks.shares(round_id, banks.ids, banks.assign())
    assert np.array_equal(open_sum(round_id, total(round_id, messages), shares, 3), sum(vectors.values()))


def test_ranges_of_chunks_open_like_the_whole():
    banks = Banks.meet(committee=3, threshold=2)
    round_id = banks.round(0, 8191 * 3 + 17)
    vectors = {bank: integers(k, round_id.values, 41) for k, bank in enumerate(banks.ids)}
    messages = list(banks.contribute(round_id, vectors).values())
    shares = banks.shares(round_id, banks.ids, banks.assign())
    parts = []
    for first, count in ((0, 1), (1, 2), (3, 1)):
        offset, size = round_id.byte_range(first, count)
        summed = crypto.sum_chunks(round_id, first, count, [memoryview(m)[offset : offset + size] for m in messages])
        pieces = [memoryview(share)[offset : offset + size] for share in shares]
        parts.append(crypto.combine_chunks(round_id, first, count, summed, pieces, 3))
    assert np.array_equal(np.concatenate(parts), sum(vectors.values()))
    for first, count in ((0, 5), (4, 1), (-1, 1), (0, 0)):
        with pytest.raises(ValueOutOfBounds):
            round_id.byte_range(first, count)


def test_pieces_covered_twice_or_never_are_refused():
    parameters = met(5, 4, 5, 44).ceremony.parameters
    whole = list(crypto.assign(5, 4, available=range(5)).values())
    crypto.check_coverage(parameters, whole)
    for wrong in (whole[1:], [*whole, whole[0][:1]], [*whole, (99,)]):
        with pytest.raises(PiecesNotCovered):
            crypto.check_coverage(parameters, wrong)
