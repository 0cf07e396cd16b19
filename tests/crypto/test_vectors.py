"""The known answers of `tests/vectors`: made anew they are the same, and read from the file alone they open."""

from __future__ import annotations

import json

import numpy as np
import pytest

import crypto
from tests.common.sums import open_sum, total
from tests.vectors.make import FILES, FOLDER, World, refusal, text_of


def read(name):
    return json.loads((FOLDER / name).read_text())


@pytest.mark.parametrize("name", FILES)
def test_made_anew_they_are_the_same(name):
    assert text_of(FILES[name]()) == (FOLDER / name).read_text(), "what is derived from seeds has changed: new version?"


def test_the_sum_opens_from_the_files_bytes():
    known, round_id = read("crypto_v1.json"), World().round_id
    contributions = [bytes.fromhex(one["message"]) for one in known["contributions"]]
    shares = [bytes.fromhex(one["message"]) for one in known["shares"]]
    for one, message in zip(known["contributions"], contributions, strict=True):
        crypto.check_contribution(round_id, bytes.fromhex(one["bank"]), message)
    crypto.check_coverage(round_id.parameters, [one["pieces"] for one in known["shares"]])
    opened = open_sum(round_id, total(round_id, contributions), shares, len(contributions))
    np.testing.assert_array_equal(opened, known["sum"])


@pytest.mark.parametrize("bad", read("crypto_v1_bad_messages.json"), ids=lambda bad: bad["name"])
def test_bad_messages_are_refused_with_their_error(bad):
    world = World()
    pieces = tuple(read("crypto_v1.json")["shares"][0]["pieces"])
    assert bad["error"] != "accepted"
    assert refusal(world, bad["as"], pieces, bytes.fromhex(bad["message"])) == bad["error"]
