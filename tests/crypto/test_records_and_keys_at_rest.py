"""What a bank keeps: the record of answers and the key store, through crashes, damage and wrong passphrases."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crypto.errors import (
    KeyDestroyed,
    MalformedMessage,
    RecordCorrupted,
    RecordInUse,
    SecondContribution,
    SecondContributorSet,
    SignatureInvalid,
    UnsealFailed,
    ValueOutOfBounds,
)
from crypto.member import AnswerRecord, CommitteeKey, Identity, Keystore, SealingKey, SecretKey, seal, verify
from tests.common.sums import Banks, identifier

IDS = tuple(identifier(f"bank {k}") for k in range(5))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "answers"
    with AnswerRecord(path) as record:
        record.record_contribution(0, b"a" * 32)
        record.record_contributors(0, IDS)
        record.record_contribution(1, b"b" * 32)
        record.record_contributors(1, IDS[:3])
    return path


def test_answers_outlive_a_restart_and_a_second_is_refused(written):
    with AnswerRecord(written) as record:
        assert record.contribution(0) == b"a" * 32
        assert record.contributors(1) == tuple(sorted(IDS[:3]))
        assert record.contribution(2) is None
        assert record.contributors(2) is None
        record.record_contribution(0, b"a" * 32)
        record.record_contributors(0, tuple(reversed(IDS)))
        with pytest.raises(SecondContribution):
            record.record_contribution(0, b"c" * 32)
        with pytest.raises(SecondContributorSet):
            record.record_contributors(0, IDS[:4])
    size = written.stat().st_size
    with AnswerRecord(written) as record:
        record.record_contributors(1, IDS[:3])
    assert written.stat().st_size == size, "noting the same again writes nothing"


def test_a_torn_end_is_cut_off_and_written_again(written):
    data = written.read_bytes()
    with AnswerRecord(written) as record:
        record.record_contributors(2, IDS)
    longer = written.read_bytes()
    for size in range(len(data), len(longer)):
        written.write_bytes(longer[:size])
        with AnswerRecord(written) as record:
            assert record.contributors(1) == tuple(sorted(IDS[:3]))
            assert record.contributors(2) is None
            record.record_contributors(2, IDS[:2])
        with AnswerRecord(written) as record:
            assert record.contributors(2) == tuple(sorted(IDS[:2]))


def test_every_flipped_bit_is_refused(written):
    data = bytearray(written.read_bytes())
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        written.write_bytes(data)
        with pytest.raises(RecordCorrupted):
            AnswerRecord(written)
        data[bit // 8] ^= 1 << bit % 8


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=8, max_size=300))
def test_any_other_file_is_refused(tmp_path_factory, data):
    assume(not data.startswith(b"CKSR"))
    path = tmp_path_factory.mktemp("record") / "answers"
    path.write_bytes(data)
    with pytest.raises(RecordCorrupted):
        AnswerRecord(path)


def test_two_processes_never_have_one_record_open(written):
    program = "import sys, pathlib; from crypto.member import AnswerRecord; AnswerRecord(pathlib.Path(sys.argv[1]))"
    with AnswerRecord(written):
        with pytest.raises(RecordInUse):
            AnswerRecord(written)
        other = subprocess.run([sys.executable, "-c", program, written], capture_output=True, text=True, check=False)
        assert "RecordInUse" in other.stderr
    AnswerRecord(written).close()


def test_wrong_ids_and_digests_are_not_recorded(written):
    with AnswerRecord(written) as record:
        for contributors in ((), (b"short",), (IDS[0], IDS[0])):
            with pytest.raises(ValueOutOfBounds):
                record.record_contributors(9, contributors)
        with pytest.raises(ValueOutOfBounds):
            record.record_contribution(9, b"short")
        with pytest.raises(ValueOutOfBounds):
            record.record_contribution(1 << 32, b"a" * 32)


@pytest.mark.parametrize("by_file", [False, True])
def test_a_key_store_opens_with_its_own_secret_and_purpose_only(tmp_path, by_file):
    key, other = tmp_path / "key", tmp_path / "other"
    right = {"key_file": key} if by_file else {"passphrase": "correct horse battery"}
    wrong = {"key_file": other} if by_file else {"passphrase": "wrong horse battery"}
    other.write_bytes(b"o" * 32)
    store = Keystore.create(tmp_path / "store", **right)
    sealed = store.seal(b"a secret key", purpose="training/1")
    assert b"a secret key" not in sealed
    again = Keystore.open(tmp_path / "store", **right)
    assert again.unseal(sealed, purpose="training/1") == b"a secret key"
    assert again.seal(b"a secret key", purpose="training/1") != sealed
    with pytest.raises(UnsealFailed):
        again.unseal(sealed, purpose="training/2")
    with pytest.raises(UnsealFailed):
        Keystore.open(tmp_path / "store", **wrong)
    with pytest.raises(UnsealFailed):
        Keystore.open(
            tmp_path / "store", **({"passphrase": "correct horse battery"} if by_file else {"key_file": other})
        )
    for path in (tmp_path / "store", *([key] if by_file else [])):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not any(secret in (tmp_path / "store").read_bytes() for secret in (b"correct horse", b"a secret"))
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(UnsealFailed):
            again.unseal(bytes(damaged), purpose="training/1")
    again.close()
    with pytest.raises(KeyDestroyed):
        again.unseal(sealed, purpose="training/1")


def test_a_key_store_is_never_overwritten_and_weak_secrets_are_refused(tmp_path):
    Keystore.create(tmp_path / "store", passphrase="correct horse battery")
    with pytest.raises(FileExistsError):
        Keystore.create(tmp_path / "store", passphrase="correct horse battery")
    with pytest.raises(ValueOutOfBounds):
        Keystore.create(tmp_path / "weak", passphrase="short")
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(ValueOutOfBounds):
        Keystore.create(tmp_path / "weak", key_file=tmp_path / "short")
    for both in ({}, {"passphrase": "correct horse battery", "key_file": tmp_path / "k"}):
        with pytest.raises(ValueOutOfBounds):
            Keystore.create(tmp_path / "weak", **both)
    assert not (tmp_path / "weak").exists()
    (tmp_path / "other").write_bytes(b"no store at all, but long enough to be one, perhaps")
    with pytest.raises(UnsealFailed):
        Keystore.open(tmp_path / "other", passphrase="correct horse battery")
    data = (tmp_path / "store").read_bytes()
    for position in range(20):  # the header: a cost of gigabytes must not be believed
        (tmp_path / "damaged").write_bytes(data[:position] + bytes([data[position] ^ 0x80]) + data[position + 1 :])
        with pytest.raises(UnsealFailed):
            Keystore.open(tmp_path / "damaged", passphrase="correct horse battery")


def test_sealed_messages_open_for_their_holder_in_their_context_only():
    key, other = SealingKey.generate(), SealingKey.generate()
    sealed = seal(key.public_bytes, b"pieces", info=b"deal")
    assert SealingKey.from_secret_bytes(key.to_secret_bytes()).open(sealed, info=b"deal") == b"pieces"
    for opener, message, info in (
        (other, sealed, b"deal"), (key, sealed, b"other"), (key, sealed[:-1], b"deal"), (key, b"", b"deal"),
        (key, sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:], b"deal"),
    ):  # fmt: skip
        with pytest.raises(UnsealFailed):
            opener.open(message, info=info)
    for public in (b"", bytes(10), b"\xff" * len(key.public_bytes)):
        with pytest.raises(ValueOutOfBounds):
            seal(public, b"pieces", info=b"deal")
    with pytest.raises(UnsealFailed):
        SealingKey.from_secret_bytes(b"short")


def test_signatures_hold_for_their_key_context_and_message_only():
    identity = Identity.generate()
    signature = identity.sign(b"message", context=b"vote")
    again = Identity.from_secret_bytes(identity.to_secret_bytes())
    verify(again.public_bytes, signature, b"message", context=b"vote")
    for public, signed, message, context in (
        (Identity.generate().public_bytes, signature, b"message", b"vote"),
        (identity.public_bytes, signature, b"other", b"vote"),
        (identity.public_bytes, signature, b"message", b"share"),
        (identity.public_bytes, signature, b"emessage", b"vot"),
        (identity.public_bytes, signature[:-1], b"message", b"vote"),
        (b"short", signature, b"message", b"vote"),
    ):
        with pytest.raises(SignatureInvalid):
            verify(public, signed, message, context=context)


def test_keys_come_back_from_bytes_and_are_never_printed():
    banks = Banks.meet(committee=3, threshold=2)
    parameters, member = banks.ceremony.parameters, banks.ceremony.committee[0]
    secret = banks.secrets[banks.ids[0]]
    assert (SecretKey.from_bytes(parameters, secret.to_bytes()).ternary() == secret.ternary()).all()
    key = banks.committee_keys[member]
    stored = key.to_bytes()
    assert CommitteeKey.from_bytes(banks.ceremony, member, stored).to_bytes() == stored
    for damaged in (b"", stored[:-1], stored + b"\0", b"x" + stored[1:]):
        with pytest.raises(MalformedMessage):
            CommitteeKey.from_bytes(banks.ceremony, member, damaged)
    with pytest.raises(MalformedMessage):
        CommitteeKey.from_bytes(banks.ceremony, banks.ceremony.committee[1], stored)
    for damaged in (b"", bytes(8191), b"\x02" * 8192):
        with pytest.raises(MalformedMessage):
            SecretKey.from_bytes(parameters, damaged)
    sealing, identity = SealingKey.generate(), Identity.generate()
    for thing in (secret, key, banks.encryptor(banks.ids[0]), sealing, identity):
        text = repr(thing) + str(thing)
        assert len(text) < 80
    assert identity.to_secret_bytes().hex()[:16] not in repr(identity)
