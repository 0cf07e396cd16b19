"""Statements under Ed25519: what is signed verifies, and nothing else does."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import StatementInvalid
from protocol.signing import key_from_text, key_text, sign_statement, verify_statement
from protocol.statements import Acceptance, SignedStatement, Vote

TRAINING = "01930000-0000-7000-8000-000000000001"
NODE = "01930000-0000-7000-8000-000000000002"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _vote(round_index: int = 3) -> Vote:
    return Vote(
        training=TRAINING, round=round_index, node=NODE, query="ab" * 32, history="cd" * 32, contributors=(NODE,)
    )


def test_a_signed_statement_survives_the_wire_and_verifies():
    signed = SignedStatement.model_validate_json(sign_statement(KEY, _vote()).model_dump_json())
    assert verify_statement(signed, Vote, KEY.public_key()) == _vote()


def test_a_changed_statement_another_key_and_another_kind_are_refused():
    signed = sign_statement(KEY, _vote())
    changed = SignedStatement(statement=_vote(4), signature=signed.signature)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    for statement, kind, key in (
        (changed, Vote, KEY.public_key()),
        (signed, Vote, other),
        (signed, Acceptance, KEY.public_key()),
        (signed.model_copy(update={"signature": "AAAA"}), Vote, KEY.public_key()),
    ):
        with pytest.raises(StatementInvalid):
            verify_statement(statement, kind, key)


def test_keys_travel_as_base64_of_32_bytes():
    assert key_from_text(key_text(KEY.public_key())).public_bytes_raw() == KEY.public_key().public_bytes_raw()
    for text in ("", "AAAA", "not base64!"):
        with pytest.raises(StatementInvalid):
            key_from_text(text)
