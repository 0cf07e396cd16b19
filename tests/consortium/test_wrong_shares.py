"""Committee members that answer wrongly, on purpose and as cleverly as they can: the sum is right, or the training says
that it is not, and nobody honest is named alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from sqlalchemy import select

import crypto
from consortium.trainings.tables import TrainingEventRow
from crypto import packing
from crypto.summation import unpack_chunk
from crypto.wire import Kind, write_message
from protocol.states import TrainingState
from tests.common.tables_learning import expected_model
from tests.consortium.test_training_thread import Consortium

EVERYONE = [0, 1, 2, 3, 4]


def noise(round_id, chunk, count):
    """An error that only who knows it can take back."""
    words = np.random.default_rng([round_id.round, chunk]).integers(0, round_id.parameters.q0, count, dtype=np.uint64)
    return words.astype(object)


def seven_units(round_id, chunk, count):
    """An error that moves the first value of the sum by seven and passes every check."""
    error = np.zeros(count, dtype=object)
    error[1] = 7 * round_id.parameters.scale
    return error


def shifted(round_id, share, *errors):
    """The same share with these errors added modulo q0, under a right digest."""
    width, q0, packed = round_id.parameters.residue_bytes, round_id.parameters.q0, []
    for chunk in range(round_id.chunks):
        offset, size = round_id.byte_range(chunk, 1)
        residues = unpack_chunk(round_id, memoryview(share)[offset : offset + size], chunk).astype(object)
        total = sum((sign * error(round_id, chunk, len(residues)) for sign, error in errors), residues) % q0
        packed.append(packed_chunk(total, width))
    header = crypto.read_header(share)
    return write_message(
        round_id, Kind.SHARE, header.sender, b"".join(packed), contributors=header.contributors_digest,
        pieces=header.pieces,
    )  # fmt: skip


def packed_chunk(residues, width):
    octets = np.empty(len(residues) * width, dtype=np.uint8)
    packing.pack(np.array([int(residue) for residue in residues], dtype=np.uint64), width, octets)
    return octets.tobytes()


class Liar:
    """In the place of a bank's decryptor: adds errors to the answers of a round, by how often it was asked in it.

    `errors` has for every answer what is added; the last one holds for all that follow.
    """

    def __init__(self, real, *errors, rounds=(0, 1, 2)):
        self.real, self.errors, self.rounds, self.asked = real, errors, rounds, {}

    def share(self, round_id, contributors, pieces):
        honest = self.real.share(round_id, contributors, pieces)
        count = self.asked[round_id.round] = self.asked.get(round_id.round, 0) + 1
        if round_id.round not in self.rounds:
            return honest
        return shifted(round_id, honest, *self.errors[min(count, len(self.errors)) - 1])


def train(tmp_path, liars, *, stop=None, **protection):
    """A training in which some banks' decryptors lie: `liars` has each one's errors by its number."""
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks", **protection)
    armed = set()
    for _ in range(120):
        for number, errors in liars.items():
            bank = consortium.banks[number]
            if number not in armed and hasattr(bank, "decryptor"):
                bank.decryptor = Liar(bank.decryptor, *errors)
                armed.add(number)
        if consortium.training(training).status.ended:
            break
        if stop is not None:
            stop(consortium, training)
        if not consortium.step():
            consortium.late(21)
    assert armed == set(liars)
    return consortium, consortium.training(training)


def accusations(consortium):
    """(node that is named alone or None, detail) of every accusation."""
    with consortium.service.runtime.db.reading("test") as s:
        rows = s.scalars(select(TrainingEventRow).where(TrainingEventRow.kind == "wrong_share"))
        return [(row.node, row.detail) for row in rows]


def check_accusations(consortium, liars, *, count):
    """Nobody honest is named alone, and wherever several are, a liar is among them."""
    found = accusations(consortium)
    assert len(found) >= count
    for node, detail in found:
        assert node in {None, *(consortium.banks[number].node for number in liars)}
        assert any(f"bank-{number}" in detail for number in liars), detail
    return found


@pytest.mark.parametrize("liar", EVERYONE)
def test_who_answers_wrongly_and_takes_it_back_in_anothers_stead_frames_nobody(tmp_path, liar):
    framing = ([(1, noise)], [(-1, noise)], [])
    consortium, training = train(tmp_path, {liar: framing})
    assert training.model_digest == expected_model(EVERYONE)
    for node, detail in check_accusations(consortium, [liar], count=2):
        assert node is not None or detail.startswith("one of bank-")


@pytest.mark.parametrize("liar", EVERYONE)
def test_who_takes_it_back_in_every_answer_frames_nobody_either(tmp_path, liar):
    consortium, training = train(tmp_path, {liar: ([(1, noise)], [(-1, noise)])})
    assert training.model_digest == expected_model(EVERYONE)
    check_accusations(consortium, [liar], count=2)


@pytest.mark.parametrize("liar", EVERYONE)
def test_who_always_answers_wrongly_is_named_alone(tmp_path, liar):
    consortium, training = train(tmp_path, {liar: ([(1, noise)],)})
    assert training.model_digest == expected_model(EVERYONE)
    found = check_accusations(consortium, [liar], count=2)
    assert {node for node, _ in found} == {consortium.banks[liar].node}


def test_who_answers_wrongly_and_falls_silent_holds_nobody_up(tmp_path):
    def stop(consortium, training):
        if "does_not_open" in consortium.events(training):
            consortium.silent = {consortium.banks[1].node}

    consortium, training = train(tmp_path, {1: ([(1, noise)],)}, stop=stop)
    assert training.status is TrainingState.COMPLETED
    assert training.model_digest is not None
    check_accusations(consortium, [1], count=1)


@pytest.mark.parametrize("liar", EVERYONE)
def test_two_covers_that_open_to_different_sums_end_the_training_with_all_suspects(tmp_path, liar):
    consortium, training = train(tmp_path, {liar: ([(1, noise)], [(-1, noise), (1, seven_units)])})
    if max(consortium.banks[liar].decryptor.asked.values()) == 1:
        # The pieces fell so that it never stood in for anyone: then it is alone with its lie.
        assert training.model_digest == expected_model(EVERYONE)
        assert {node for node, _ in accusations(consortium)} <= {consortium.banks[liar].node}
        return
    assert training.status is TrainingState.FAILED
    assert "expected one sum, whoever is left out, got different ones" in training.reason
    ((node, detail),) = check_accusations(consortium, [liar], count=1)
    assert node is None
    assert detail.startswith("one of bank-")


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
def test_where_two_are_assumed_to_collude_one_cannot_clear_the_other_at_an_honest_ones_cost(tmp_path, pair):
    # One lies throughout, the other takes it back whenever it stands in.
    liar, helper = pair
    lies = {liar: ([(1, noise)],), helper: ([], [(-1, noise)])}
    consortium, training = train(tmp_path, lies, colluders=2, min_banks=4)
    assert training.status.ended
    assert training.model_digest in {None, expected_model(EVERYONE)}
    check_accusations(consortium, pair, count=0)


def test_three_of_five_ask_those_who_have_not_answered_yet(tmp_path):
    consortium, training = train(tmp_path, {0: ([(1, noise)], [(-1, noise)])}, threshold=3, agreement=True)
    assert training.model_digest == expected_model(EVERYONE)
    check_accusations(consortium, [0], count=1)


def not_residues(round_id, share):
    """A share whose last residue is 2^56 - 1, above every prime, under a right digest."""
    body = bytearray(share[crypto.HEADER_BYTES :])
    width = round_id.parameters.residue_bytes
    offset, size = round_id.byte_range(round_id.chunks - 1, 1)
    residues = unpack_chunk(round_id, memoryview(share)[offset : offset + size], round_id.chunks - 1)
    residues[-1] = (1 << 56) - 1
    body[offset - crypto.HEADER_BYTES :] = packed_chunk(residues, width)
    return under_digest(round_id, share, bytes(body), hashlib.sha256(body).digest())


def another_body(round_id, share):
    """A right share under the digest of another body."""
    return under_digest(round_id, share, share[crypto.HEADER_BYTES :], bytes(32))


def under_digest(round_id, share, body, digest):
    header = crypto.read_header(share)
    fields = {name: getattr(header, name) for name in header.__slots__}
    return type(header)(**{**fields, "body_digest": digest}).to_bytes() + body


class Altering:
    """In the place of a bank's decryptor: alters what it sends."""

    def __init__(self, real, alter):
        self.real, self.alter = real, alter

    def share(self, round_id, contributors, pieces):
        return self.alter(round_id, self.real.share(round_id, contributors, pieces))


@pytest.mark.parametrize("alter", [not_residues, another_body])
def test_a_large_share_that_is_none_is_its_senders_fault(tmp_path, alter):
    consortium = Consortium(tmp_path, inline_bytes=0)  # so that bodies are too large to be checked as they come
    training = consortium.start("ckks")
    consortium.until(training, TrainingState.RUNNING)
    bank = consortium.banks[2]
    bank.decryptor = Altering(bank.decryptor, alter)
    ended = consortium.finish(training)
    assert ended.model_digest == expected_model(EVERYONE)
    found = accusations(consortium)
    assert found
    assert {node for node, _ in found} == {bank.node}
    assert all("expected residues below the prime" in d or "expected the body that its header" in d for _, d in found)
    assert "does_not_open" not in consortium.events(training)


def test_a_share_that_is_none_among_doubted_ones_is_taken_out_and_the_doubt_resolved(tmp_path):
    consortium = Consortium(tmp_path, inline_bytes=0, banks=7)
    training = consortium.start("ckks", committee_size=7, threshold=4)
    consortium.until(training, TrainingState.RUNNING)
    by_node = {bank.node: bank for bank in consortium.banks}
    liar, careless = (by_node[node] for node in consortium.banks[0].roster.committee[:2])  # asked first in round 0
    liar.decryptor = Liar(liar.decryptor, [(1, noise)])
    careless.decryptor = Altering(careless.decryptor, another_body)
    ended = consortium.finish(training)
    assert ended.model_digest == expected_model(range(7))
    assert {node for node, _ in accusations(consortium)} == {liar.node, careless.node}
