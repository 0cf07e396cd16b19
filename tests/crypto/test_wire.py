"""Messages: fixed bytes, and a typed refusal for everything else. Over ten thousand damaged inputs pass here."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crypto
from crypto.errors import CryptoError, DigestMismatch, MalformedMessage, ValueOutOfBounds, WrongParameters, WrongRound
from crypto.wire import HEADER_BYTES, Kind, write_message
from tests.common.sums import Banks, identifier, integers, open_sum, total

VALUES = 40


@pytest.fixture(scope="module")
def made():
    banks = Banks.meet(committee=3, threshold=2)
    round_id = banks.round(5, VALUES)
    contribution = banks.contribute(round_id, {banks.ids[0]: integers(1, VALUES, 40)})[banks.ids[0]]
    share = banks.share(round_id, 0, banks.ids, crypto.pieces_of(3, 2, 0))
    return banks, round_id, contribution, share


def check(made, data: bytes, *, kind: Kind = Kind.CONTRIBUTION) -> None:
    banks, round_id, *_ = made
    if kind is Kind.CONTRIBUTION:
        crypto.check_contribution(round_id, banks.ids[0], data)
    else:
        crypto.check_share(round_id, banks.ceremony.committee[0], banks.ids, crypto.pieces_of(3, 2, 0), data)


def test_the_header_says_everything(made):
    banks, round_id, contribution, share = made
    header = crypto.read_header(contribution)
    assert (header.kind, header.round, header.values) == (Kind.CONTRIBUTION, 5, VALUES)
    assert (header.training, header.sender) == (round_id.training, banks.ids[0])
    assert header.parameter_id == round_id.parameters.id
    assert header.to_bytes() == contribution[:HEADER_BYTES]
    assert header.body_digest == hashlib.sha256(contribution[HEADER_BYTES:]).digest()
    assert crypto.read_header(share).pieces == crypto.pieces_of(3, 2, 0)
    assert crypto.read_header(share).contributors_digest == crypto.contributors_digest(banks.ids)
    check(made, contribution)
    check(made, share, kind=Kind.SHARE)


def test_a_message_of_something_else_is_refused_by_name(made):
    banks, round_id, contribution, share = made
    with pytest.raises(MalformedMessage, match="contribution"):
        check(made, share)
    with pytest.raises(MalformedMessage, match="share"):
        check(made, contribution, kind=Kind.SHARE)
    with pytest.raises(WrongRound, match="sender"):
        crypto.check_contribution(round_id, banks.ids[1], contribution)
    with pytest.raises(WrongRound, match="round"):
        crypto.check_contribution(banks.round(6, VALUES), banks.ids[0], contribution)
    with pytest.raises(WrongRound, match="values"):
        crypto.check_contribution(banks.round(5, VALUES + 1), banks.ids[0], contribution)
    other = crypto.RoundId(round_id.parameters, identifier("another training"), 5, VALUES)
    with pytest.raises(WrongRound, match="training"):
        crypto.check_contribution(other, banks.ids[0], contribution)
    parameters = crypto.derive(crypto.ParameterSpec(30, 3, 3, 2))
    with pytest.raises(WrongParameters):
        crypto.check_contribution(crypto.RoundId(parameters, round_id.training, 5, VALUES), banks.ids[0], contribution)
    with pytest.raises(WrongRound, match="contributor set"):
        crypto.check_share(round_id, banks.ids[0], banks.ids[:2], crypto.pieces_of(3, 2, 0), share)
    with pytest.raises(WrongRound, match="pieces"):
        crypto.check_share(round_id, banks.ids[0], banks.ids, (0,), share)


def test_a_residue_that_is_none_is_refused(made):
    banks, round_id, contribution, _ = made
    body = bytearray(contribution[HEADER_BYTES:])
    width = round_id.parameters.residue_bytes
    count = VALUES + 1
    assert width == 7
    body[3 * 4 : 4 * 4] = b"\xff" * 4
    body[4 * count + 3 * 2 : 4 * count + 4 * 2] = b"\xff" * 2
    body[6 * count + 3] = 0xFF
    with pytest.raises(MalformedMessage, match="below the prime"):
        check(made, write_message(round_id, Kind.CONTRIBUTION, banks.ids[0], bytes(body)))


def test_every_flipped_bit_is_refused(made):
    for kind, message in ((Kind.CONTRIBUTION, made[2]), (Kind.SHARE, made[3])):
        damaged = bytearray(message)
        for bit in range(8 * len(damaged)):
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CryptoError):
                check(made, bytes(damaged), kind=kind)
            damaged[bit // 8] ^= 1 << bit % 8


def test_every_truncation_and_extension_is_refused(made):
    for kind, message in ((Kind.CONTRIBUTION, made[2]), (Kind.SHARE, made[3])):
        for size in range(len(message)):
            with pytest.raises(CryptoError):
                check(made, message[:size], kind=kind)
        for more in (b"\0", b"\0" * 1000, message):
            with pytest.raises(MalformedMessage):
                check(made, message + more, kind=kind)


def test_ten_thousand_mutations_end_in_a_typed_error(made):
    generator = random.Random(17)
    for _ in range(10_000):
        kind = generator.choice(list(Kind))
        damaged = bytearray(made[2] if kind is Kind.CONTRIBUTION else made[3])
        for _ in range(generator.randint(1, 4)):
            start = generator.randrange(len(damaged))
            action = generator.randrange(4)
            if action == 0:
                damaged[start] = (damaged[start] + generator.randint(1, 255)) % 256
            elif action == 1:
                del damaged[start : start + generator.randint(1, 40)]
            elif action == 2:
                damaged[start:start] = generator.randbytes(generator.randint(1, 40))
            else:
                damaged[start : start + 8] = generator.choice([b"\0" * 8, b"\xff" * 8, b"\x80" + b"\0" * 7])
            if not damaged:
                break
        if bytes(damaged) in {made[2], made[3]}:
            continue
        with pytest.raises(CryptoError):
            check(made, bytes(damaged), kind=kind)


@settings(max_examples=1500, deadline=None)
@given(st.binary(max_size=2000))
def test_anything_at_all_ends_in_a_typed_error(data):
    parameters = crypto.derive(crypto.ParameterSpec(44, 3, 3, 2))
    round_id = crypto.RoundId(parameters, identifier("training"), 0, 10)
    with pytest.raises(CryptoError):
        crypto.check_contribution(round_id, identifier("bank"), data)
    with pytest.raises(CryptoError):
        crypto.sum_chunks(round_id, 0, 1, [data])
    with pytest.raises(CryptoError):
        crypto.combine_chunks(round_id, 0, 1, data, [data], 1)


def test_a_round_that_cannot_be_is_refused(made):
    parameters = made[1].parameters
    for training, number, values in (
        (b"short", 0, 1), (bytes(16), -1, 1), (bytes(16), 1 << 32, 1), (bytes(16), 0, 0), (bytes(16), 0, 1 << 40),
    ):  # fmt: skip
        with pytest.raises(ValueOutOfBounds):
            crypto.RoundId(parameters, training, number, values)
    for contributors in ([b"short"], [bytes(16), bytes(16)]):
        with pytest.raises(ValueOutOfBounds):
            crypto.contributors_digest(contributors)


@pytest.mark.parametrize(("sum_bits", "contributors", "width"), [(30, 3, 6), (44, 3, 7), (46, 50, 8)])
def test_messages_are_as_wide_as_the_prime(sum_bits, contributors, width):
    parameters = crypto.derive(crypto.ParameterSpec(sum_bits, contributors, 5, 4))
    assert parameters.residue_bytes == width
    assert parameters.q0.bit_length() <= 8 * width
    round_id = crypto.RoundId(parameters, bytes(16), 0, 8191 + 5)
    assert round_id.message_bytes == HEADER_BYTES + (8192 + 6) * width


@pytest.mark.parametrize(("sum_bits", "banks", "width"), [(30, 5, 6), (44, 5, 7), (48, 12, 8)])
def test_sums_of_every_width_open(sum_bits, banks, width):
    met = Banks.meet(committee=5, threshold=4, banks=banks, sum_bits=sum_bits, smudging_bits=42)
    assert met.ceremony.parameters.residue_bytes == width
    round_id = met.round(0, 9000)
    vectors = {bank: integers(k, 9000, sum_bits) // banks for k, bank in enumerate(met.ids)}
    summed = total(round_id, list(met.contribute(round_id, vectors).values()))
    shares = met.shares(round_id, met.ids, met.assign())
    assert np.array_equal(open_sum(round_id, summed, shares, banks), sum(vectors.values()))


def test_a_contributed_body_altered_with_its_header_kept_is_a_digest_mismatch(made):
    damaged = bytearray(made[2])
    damaged[-1] ^= 1
    with pytest.raises(DigestMismatch):
        check(made, bytes(damaged))
