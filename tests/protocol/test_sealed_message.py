"""The container of a key ceremony's sealed message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SealedMessageMalformed
from protocol.sealed_message import join_sealed, split_sealed


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_both_parts_come_back(pieces, entity_key):
    assert split_sealed(join_sealed(pieces, entity_key)) == (pieces, entity_key)


@pytest.mark.parametrize("message", [b"", b"\0\0\0", b"\0\0\0\2a", b"\xff\xff\xff\xff" + b"a" * 50])
def test_a_message_shorter_than_it_says_is_refused(message):
    with pytest.raises(SealedMessageMalformed):
        split_sealed(message)
