"""The published aggregate goes there and back exactly, in as few bytes as its bound needs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.query import Query
from protocol.aggregate import decode_aggregate, encode_aggregate, value_bytes
from protocol.errors import AggregateMalformed


@given(st.integers(1, 52), st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_round_trip_up_to_the_bound(bits, fractions):
    query = Query("q", length=len(fractions), bound=2.0**bits, resolution=1.0)
    total = np.rint(np.array(fractions) * 2.0**bits).astype(np.int64)
    data = encode_aggregate(query, total)
    assert len(data) == query.length * value_bytes(query)
    assert np.array_equal(decode_aggregate(query, data), total)


def test_a_known_answer():
    query = Query("q", length=3, bound=100.0, resolution=1.0)
    assert value_bytes(query) == 2
    assert encode_aggregate(query, np.array([1, -2, 100])) == bytes.fromhex("0100feff6400")


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda _: b""])
def test_other_lengths_are_refused(change):
    query = Query("q", length=3, bound=100.0, resolution=1.0)
    data = encode_aggregate(query, np.array([1, 2, 3]))
    with pytest.raises(AggregateMalformed):
        decode_aggregate(query, change(data))


def test_a_value_beyond_the_width_is_refused():
    query = Query("q", length=1, bound=100.0, resolution=1.0)
    with pytest.raises(AggregateMalformed, match="at most 15 bits"):
        encode_aggregate(query, np.array([1 << 15]))
