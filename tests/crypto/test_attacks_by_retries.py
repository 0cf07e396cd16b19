"""What retries release: relations between noises in a Shamir variant; in ours nothing but the fixed piece values."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

import crypto
from crypto.errors import CheckFailed, PiecesNotCovered
from crypto.summation import unpack_chunk
from tests.common.sums import Banks, body, integers, open_sum, total

VALUES = 500


def test_lagrange_shares_for_two_active_sets_give_the_smudging_noise_away():
    """The attack that replicated sharing is for: x = 1, T = {1, 2, 3} and {1, 2, 4}: 8·d − 9·d' = 8·e − 9·e'."""
    generator = np.random.default_rng(5)
    modulus = (1 << 61) - 1
    a_times_share = int(generator.integers(modulus))

    def coefficient(active: tuple[int, ...]) -> Fraction:
        product = Fraction(1)
        for other in active:
            if other != 1:
                product *= Fraction(other, other - 1)
        return product

    def lagrange_share(active: tuple[int, ...], noise: int) -> int:
        weight = coefficient(active)
        return (a_times_share * weight.numerator * pow(weight.denominator, -1, modulus) + noise) % modulus

    noises = [int(noise) for noise in generator.integers(-(1 << 50), 1 << 50, 2)]
    first, second = (
        lagrange_share(active, noise) for active, noise in zip(((1, 2, 3), (1, 2, 4)), noises, strict=True)
    )
    relation = (8 * first - 9 * second) % modulus
    relation = relation - modulus if relation > modulus // 2 else relation
    assert relation == 8 * noises[0] - 9 * noises[1]
    assert abs(relation) < 17 << 50, "the secret has cancelled: a small number in the clear, where noise should hide"


@pytest.fixture(scope="module")
def banks() -> Banks:
    return Banks.meet(committee=5, threshold=3)


def residues(round_id, share: bytes) -> np.ndarray:
    return unpack_chunk(round_id, body(round_id, share), 0)


def test_every_reassignment_releases_sums_of_the_same_fixed_piece_values(banks):
    round_id = banks.round(0, VALUES)
    q0, half = banks.ceremony.parameters.q0, 0.5
    fixed: dict[int, np.ndarray] = {}
    for piece in range(10):
        seen = {
            residues(round_id, banks.share(round_id, member, banks.ids, [piece])).tobytes()
            for member in range(5)
            if piece in crypto.pieces_of(5, 3, member)
        }
        assert len(seen) == 1, "every holder derives the same noise for a piece"
        fixed[piece] = np.frombuffer(seen.pop(), dtype=np.uint64)
    for available in combinations(range(5), 3):
        for member, pieces in crypto.assign(5, 3, available=available).items():
            share = residues(round_id, banks.share(round_id, member, banks.ids, pieces)).astype(object)
            difference = (share - sum(fixed[piece].astype(object) for piece in pieces)) % q0
            centred = np.where(difference > q0 // 2, difference - q0, difference).astype(np.float64)
            # Each rescaled value is rounded once: the only thing by which a sum differs from its parts.
            assert np.abs(centred).max() <= half * (len(pieces) + 1)


def test_a_round_asked_for_in_another_length_gets_the_same_noise_over_the_same_polynomial(banks):
    shares = [
        residues(
            banks.round(5, values), banks.share(banks.round(5, values), 0, banks.ids, crypto.pieces_of(5, 3, 0)[:1])
        )
        for values in (100, 101, 8191)
    ]
    for share in shares:
        assert np.array_equal(share[:101], shares[0])


def test_any_three_members_open_the_same_sum_and_a_repeated_request_gives_the_same_bytes(banks):
    round_id = banks.round(1, VALUES)
    vectors = {bank: integers(k, VALUES, 41) for k, bank in enumerate(banks.ids)}
    summed = total(round_id, list(banks.contribute(round_id, vectors).values()))
    for available in combinations(range(5), 3):
        assignment = banks.assign(available)
        shares = banks.shares(round_id, banks.ids, assignment)
        assert shares == banks.shares(round_id, tuple(reversed(banks.ids)), assignment)
        assert np.array_equal(open_sum(round_id, summed, shares, 5), sum(vectors.values()))


def test_a_member_that_dies_after_it_was_asked_is_replaced_by_reassigning_its_pieces(banks):
    round_id = banks.round(2, VALUES)
    vectors = {bank: integers(k, VALUES, 41) for k, bank in enumerate(banks.ids)}
    summed = total(round_id, list(banks.contribute(round_id, vectors).values()))
    asked = crypto.assign(5, 3, available=range(5))
    dead = next(iter(asked))
    answered = {member: pieces for member, pieces in asked.items() if member != dead}
    again = crypto.assign(5, 3, available=[member for member in range(5) if member != dead], missing=asked[dead])
    pairs = [*answered.items(), *again.items()]
    crypto.check_coverage(banks.ceremony.parameters, [pieces for _, pieces in pairs])
    shares = [banks.share(round_id, member, banks.ids, pieces) for member, pieces in pairs]
    assert np.array_equal(open_sum(round_id, summed, shares, 5), sum(vectors.values()))
    with pytest.raises(PiecesNotCovered):
        crypto.assign(5, 3, available=[3, 4], missing=range(10))


def test_a_wrong_share_is_noticed_and_reassigning_finds_whose(banks):
    round_id = banks.round(3, VALUES)
    summed = total(
        round_id,
        list(banks.contribute(round_id, {bank: integers(k, VALUES, 41) for k, bank in enumerate(banks.ids)}).values()),
    )
    liar = 1

    def share(member: int, pieces) -> bytes:
        other = banks.round(4, VALUES) if member == liar else round_id
        return banks.share(other, member, banks.ids, pieces)

    suspects = set(range(5))
    for available in combinations(range(5), 3):
        assignment = banks.assign(available)
        shares = [share(member, pieces) for member, pieces in assignment.items()]
        try:
            open_sum(round_id, summed, shares, 5)
        except CheckFailed:
            suspects &= set(assignment)
        else:
            suspects -= set(assignment)
    assert suspects == {liar}
