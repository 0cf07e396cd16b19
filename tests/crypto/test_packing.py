"""Packed residues: what comes out is what went in, and one that is too large is found wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import packing

_WIDTHS = st.sampled_from([6, 7, 8])


def packed(residues, width):
    out = np.empty(len(residues) * width, dtype=np.uint8)
    packing.pack(residues, width, out)
    return out


@settings(deadline=None)  # the first packing compiles
@given(width=_WIDTHS, data=st.data())
def test_whether_all_are_below_a_bound(width, data):
    # Few different bytes, so that residues share their upper planes with one another and with the bound.
    residue = st.lists(st.sampled_from([0, 1, 254, 255]), min_size=width, max_size=width).map(
        lambda octets: int.from_bytes(bytes(octets), "little")
    )
    values = data.draw(st.lists(residue, min_size=1, max_size=40))
    bounds = residue | st.sampled_from([max(values), min(max(values) + 1, (1 << 8 * width) - 1)])
    bound = data.draw(bounds)
    octets = packed(np.array(values, dtype=np.uint64), width).tobytes()
    assert packing.all_below(octets, len(values), width, bound) == (max(values) < bound)


@pytest.mark.parametrize("width", [6, 7, 8])
def test_packed_and_added(width):
    residues = np.random.default_rng(width).integers(0, 1 << min(8 * width, 60), 8192, dtype=np.uint64)
    total = np.zeros(8192, dtype=np.uint64)
    packing.unpack_add(total, packed(residues, width), width)
    packing.unpack_add(total, packed(residues, width), width)
    np.testing.assert_array_equal(total, 2 * residues)
