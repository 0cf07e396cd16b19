"""Signed bytes are canonical, bound to their context, and strict about what they are."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.errors import StatementInvalid
from protocol.statements import (
    ContributionStatement,
    ShareStatement,
    SignedStatement,
    Vote,
    canonical_digest,
    canonical_json,
)

T = "0b5ffd5c-6f5e-4c58-9a9c-6a4a0d8f1f11"
N = "8f14e45f-ceea-467f-9f0b-111111111111"
D = "ab" * 32


def contribution(**changes):
    fields = {"training": T, "round": 3, "node": N, "query": D, "history": D, "digest": D, "size_bytes": 10}
    return ContributionStatement(**(fields | changes))


def test_known_canonical_bytes():
    # RFC 8785: keys in order, no white space; the context and a zero byte in front. Written out by hand.
    assert contribution().canonical_bytes() == (
        b"fraud-consortium/statement/v1\0"
        + json.dumps(
            {
                "digest": D,
                "history": D,
                "node": N,
                "query": D,
                "round": 3,
                "size_bytes": 10,
                "tag": "contribution",
                "training": T,
                "version": 1,
            },
            separators=(",", ":"),
        ).encode()
    )


@given(
    st.sampled_from(["training", "round", "node", "query", "history", "digest", "size_bytes"]),
    st.integers(1, 2**31),
)
def test_every_field_changes_what_is_signed(name, number):
    new = {"training": N, "node": T, "round": 3 + number, "size_bytes": 10 + number}.get(name, f"{number:064x}")
    assert contribution(**{name: new}).canonical_bytes() != contribution().canonical_bytes()


def test_a_share_is_never_a_contribution():
    share = ShareStatement(
        training=T, round=3, node=N, history=D, contributors=D, pieces=(1, 2), digest=D, size_bytes=10
    )
    signed = SignedStatement(statement=share, signature="AAAA")
    assert signed.expect(ShareStatement) == share
    with pytest.raises(StatementInvalid, match="expected tag 'contribution', got tag 'share'"):
        signed.expect(ContributionStatement)


def test_header_round_trip():
    vote = Vote(training=T, round=0, node=N, query=D, history=D, contributors=(N, T))
    signed = SignedStatement(statement=vote, signature="AAAA")
    assert SignedStatement.from_header(signed.to_header()) == signed


@given(st.text(max_size=200))
def test_a_header_that_is_none_is_refused(text):
    with pytest.raises(StatementInvalid):
        SignedStatement.from_header(text)


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="extra"):
        contribution(colour="red")


def test_canonical_digest_ignores_the_order_of_keys():
    assert canonical_digest({"b": 1.5, "a": [1]}) == canonical_digest({"a": [1], "b": 1.5})


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**17), 10**17)
    | st.floats()
    | st.text()
    | st.text(st.characters(max_codepoint=127))
    | st.sampled_from([2**53 - 1, 2**53, -(2**53) + 1, 10**15, 10**16, 1.0, 1e21, -0.0, 5e-324, '\x7f\x1f\\"/\u2028'])
)
_NAMES = (
    st.text() | st.text(st.characters(max_codepoint=127)) | st.sampled_from(["\U0001f600", "\uffff", "\ue000", "a"])
)


@given(
    st.dictionaries(
        _NAMES, st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner), max_leaves=10)
    )
)
def test_the_canonical_form_is_that_of_rfc_8785_whoever_writes_it(value):
    try:
        expected = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        with pytest.raises(rfc8785.CanonicalizationError):
            canonical_json(value)
    else:
        assert canonical_json(value) == expected
