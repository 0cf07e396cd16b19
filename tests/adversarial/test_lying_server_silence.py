"""A server that never says that a training has ended: the node's keys do not wait for it."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from bank_node.errors import KeysLost, LogForked
from bank_node.opening import open_node
from bank_node.participations import Participations
from bank_node.settings import load_settings
from crypto.errors import KeyDestroyed
from tests.adversarial.lying_server import PLAIN, Victim

DAY_S = 86_400.0
KEYS = {"sealing.sealed", "secret.sealed", "committee.sealed"}


@pytest.fixture
def victim(recording, tmp_path, server):
    return Victim(recording.stage(PLAIN, "contribute", 1), tmp_path / "victim", server)


def keys_on_disk(victim):
    return {path.name for path in victim.store.folder.rglob("*.sealed")}


def untouched_for(victim, days):
    """As if nothing had been written in the training for so long."""
    then = time.time() - days * DAY_S
    for path in victim.store.folder.rglob("*"):
        os.utime(path, (then, then))


def test_a_halt_destroys_the_keys_at_once(victim, server):
    assert keys_on_disk(victim) == KEYS
    errors = victim.run([victim.item.model_copy(update={"query": "ab" * 32})])
    assert [type(error) for error in errors] == [LogForked]
    assert keys_on_disk(victim) == set()


def test_a_halt_that_a_crash_interrupted_is_finished_at_the_next_start(victim):
    victim.store.halt("a lie")
    assert victim.run() == []
    assert keys_on_disk(victim) == set()


def test_keys_outlast_a_servers_silence_for_so_long_and_no_longer(victim, server):
    untouched_for(victim, 29)
    assert victim.run() == []
    assert keys_on_disk(victim) == KEYS
    untouched_for(victim, 31)
    assert victim.run() == []
    assert keys_on_disk(victim) == set()
    # The training is not over for that, but this bank is out of it; a word of it finds no key to misuse.
    assert [type(error) for error in victim.run([victim.item])] == [KeysLost]
    assert server.uploads == []


def test_the_bank_says_how_long(victim):
    with victim.home.settings.open("r+") as file:
        written = file.read()
        file.seek(0)
        file.write("keep_silent_days = 2\n" + written)
    untouched_for(victim, 3)
    assert victim.run() == []
    assert keys_on_disk(victim) == set()


def test_a_training_that_is_answered_is_not_silent(victim):
    untouched_for(victim, 31)
    with open_node(victim.home, settings=_told(victim)) as node:
        participations = Participations(node)
        participations.perform(victim.item, wait_s=None)  # its contribution is written down
        participations.expire()
        participations._of(victim.item.training)._close()
    assert keys_on_disk(victim) == KEYS


def _told(victim):
    return load_settings(victim.home).model_copy(update={"url": victim.server.url})


@pytest.mark.parametrize("how", ["end", "halt", "new ceremony"])
def test_the_keys_in_memory_are_overwritten(victim, recording, how):
    """What a training's end leaves of a key: zeros in the arrays that held it, and objects that refuse to work."""
    with open_node(victim.home, settings=_told(victim)) as node:
        participations = Participations(node)
        participations.perform(victim.item, wait_s=None)
        training = participations._of(victim.item.training)
        protection = training._running.protection
        key, decryptor = protection._committee_key, protection._decryptor
        polynomials = [residues for dealt in key._pieces.values() for residues in dealt.last or ()]
        assert all(np.any(residues) for residues in polynomials)
        if how == "end":
            participations.perform(recording.stage(PLAIN, "end").item, wait_s=None)
        elif how == "halt":
            participations.halt(victim.item.training, "a lie")
        else:
            training._close()
        assert not any(np.any(residues) for residues in polynomials)
        assert (protection._encryptor, protection._decryptor, protection._committee_key) == (None, None, None)
        with pytest.raises(KeyDestroyed):
            key.to_bytes()
        with pytest.raises(KeyDestroyed):
            decryptor.share(None, [b"x" * 16], [0])
        query = training._running and training._running.learner.query
        assert query is None
        with pytest.raises(KeysLost):  # never in the clear instead
            protection.protect(None, 0, np.zeros(1, dtype=np.int64))
        with pytest.raises(KeysLost):
            protection.share(None, 0, [], [])
