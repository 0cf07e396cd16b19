"""Which model a node scores with: what the service has told is kept, and chosen only among what the bank holds."""

from __future__ import annotations

import pytest

from bank_node.durable import Disk
from bank_node.errors import HomeUnusable, ModelUnfit
from bank_node.in_force import FILE, InForce, named, preferred
from bank_node.registry import ModelEntry
from protocol.ids import sha256_hex
from protocol.plan import Plan

A, B, C, UNKNOWN = (sha256_hex(letter.encode()) for letter in "ABCD")


def entry(digest: str, name: str) -> ModelEntry:
    return ModelEntry(
        digest=digest, sha256=digest, training="0" * 8 + "-0000" * 3 + "-" + "0" * 12,
        plan=Plan(name=name, learning={"kind": "gbdt"}), rounds=1, released_at_s=0.0,
    )  # fmt: skip


HELD = [entry(A, "cards"), entry(B, "cards"), entry(C, "transfers")]  # the newest last


@pytest.mark.parametrize(
    ("in_force", "digest", "why"),
    [
        ({}, C, "the newest on this node; none is in force as transfers"),
        ({"cards": A}, A, "in force as cards"),  # before a newer one, and before one of another name
        ({"cards": B, "transfers": C}, C, "in force as transfers"),
        ({"transfers": UNKNOWN}, C, f"the newest on this node; model {UNKNOWN[:16]} is in force as transfers, but"),
        ({"transfers": UNKNOWN, "cards": A}, A, "in force as cards"),
        ({"transfers": A}, C, "the newest"),  # another name's model
        ({"transfers": None}, B, "the newest on this node; none is in force as cards"),  # withdrawn, however new
        ({"transfers": None, "cards": A}, A, "in force as cards"),
    ],
)  # fmt: skip
def test_without_a_name_the_one_in_force_scores_if_it_is_here(in_force, digest, why):
    chosen, because = preferred(HELD, in_force)
    assert chosen.digest == digest
    assert because.startswith(why)


def test_a_name_means_its_model_in_force_if_it_is_here():
    assert named("cards", HELD, {"cards": A}) == A
    assert named("cards", HELD, {"cards": UNKNOWN}) == "cards"
    assert named("cards", HELD, {}) == "cards"
    assert named(B[:8], HELD, {"cards": A}) == B[:8]


def test_what_is_withdrawn_scores_only_by_its_digest():
    withdrawn = {"cards": None, "transfers": None}
    with pytest.raises(ModelUnfit, match=r"model cards, transfers: .*the operator has withdrawn it"):
        preferred(HELD, withdrawn)
    with pytest.raises(ModelUnfit, match=r"model cards: .*names by its digest"):
        named("cards", HELD, withdrawn)
    assert named(B[:8], HELD, withdrawn) == B[:8]


def test_what_was_told_outlives_the_process_and_is_written_only_when_it_is_new(tmp_path):
    steps = []
    told = InForce(tmp_path, Disk(steps.append))
    assert told.digests() == {}
    told.note({"cards": A})
    written = len(steps)
    told.note({"cards": A})
    told.note(None)  # an answer that says nothing of it
    assert len(steps) == written
    assert InForce(tmp_path, Disk()).digests() == {"cards": A}
    told.note({"cards": None})  # withdrawn, also for those who did not hear of the promotion
    assert InForce(tmp_path, Disk()).digests() == {"cards": None}
    told.note({})  # nothing is in force any more
    assert InForce(tmp_path, Disk()).digests() == {}


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"cards": "no digest"}', b'{"cards": 1}'])
def test_a_damaged_record_is_refused_to_a_person_and_written_anew_by_the_agent(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(HomeUnusable, match="the service tells it again"):
        InForce(tmp_path, Disk()).digests()
    InForce(tmp_path, Disk()).note({"cards": A})
    assert InForce(tmp_path, Disk()).digests() == {"cards": A}
