"""A server that lies about who is who: it puts keys of its own on a roster. Until fingerprints are compared, a bank's
first sight of another is the server's word; from then on, and wherever the policy lists the banks, it is not.
"""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bank_node.cli import main
from bank_node.errors import RosterChanged, ServiceRefused, UnlistedBank
from bank_node.fingerprint import fingerprint, grouped
from bank_node.known_banks import KnownBanks
from bank_node.status import read_status
from crypto.member import SealingKey
from protocol.committee import committee_for
from protocol.roster import Member, Roster
from protocol.signing import key_text, sign_statement
from protocol.statements import Acceptance
from tests.adversarial.lying_server import AGREED, PLAIN, Victim


@pytest.fixture
def first_time(recording, tmp_path, server):
    """The node at its first roster ever."""
    return Victim(recording.stage(PLAIN, "deal"), tmp_path / "victim", server)


@pytest.fixture
def second_time(recording, tmp_path, server):
    """The node at its second roster: it has met the others."""
    return Victim(recording.stage(AGREED, "deal"), tmp_path / "victim", server)


def own(victim):
    return victim.store.acceptance().statement.node


def listed(roster):
    """A table of the banks on a roster, as policy.toml has it."""
    lines = [f'{member.name} = "{grouped(fingerprint(member.signing_key))}"' for member in roster.members]
    return "\n".join(["[banks]", *lines, ""])


def forged(roster, plan, *, node, name, key=None, sealing=None):
    """A member that the server has made up: it accepts the plan under a key of the server's."""
    key = key or Ed25519PrivateKey.generate()
    sealing = sealing or SealingKey.generate()
    acceptance = Acceptance(
        training=roster.training, node=node, plan=plan.digest(),
        sealing_key=base64.b64encode(sealing.public_bytes).decode(),
    )  # fmt: skip
    return Member(
        node=node, name=name, signing_key=key_text(key.public_key()), acceptance=sign_statement(key, acceptance)
    )


def work_with(item, members):
    """The honest deal work, with these members, and the committee and threshold that they give."""
    members = tuple(sorted(members, key=lambda member: member.node))
    committee, threshold = committee_for(item.plan, item.training, [member.acceptance for member in members])
    roster = Roster(
        training=item.training, attempt=item.roster.attempt, members=members, committee=committee, threshold=threshold
    )
    return item.model_copy(update={"roster": roster})


def with_anothers_key(victim):
    """One bank under a key of the server's, all else as it is."""
    roster = victim.item.roster
    chosen = next(member for member in roster.members if member.node != own(victim))
    fake = forged(roster, victim.item.plan, node=chosen.node, name=chosen.name)
    return chosen, fake, work_with(victim.item, [fake if m == chosen else m for m in roster.members])


def sybils(victim, names):
    """The victim among banks that the server has made up."""
    roster = victim.item.roster
    kept = [member for member in roster.members if member.node == own(victim)]
    made = [forged(roster, victim.item.plan, node=str(uuid.uuid4()), name=name) for name in names]
    return work_with(victim.item, kept + made)


def refused(victim, lie, error):
    errors = victim.run([lie])
    assert [type(found) for found in errors] == [error], errors
    assert victim.server.uploads == []
    assert victim.store.attempt(0).roster() is None
    assert victim.store.attempt(0).deal() is None
    return errors[0]


def test_one_party_that_stands_on_the_roster_twice(first_time):
    """The attack that gave a server a bank's key: four banks under one key, one sealing key, one name."""
    item = first_time.item
    key, sealing = Ed25519PrivateKey.generate(), SealingKey.generate()
    kept = [member for member in item.roster.members if member.node == own(first_time)]
    twice = {
        "a name": [{"name": "same"}, {"name": "same"}],
        "a signing key": [{"name": "x", "key": key}, {"name": "y", "key": key}],
        "a sealing key": [{"name": "x", "sealing": sealing}, {"name": "y", "sealing": sealing}],
    }
    for what, parts in twice.items():
        made = [forged(item.roster, item.plan, node=str(uuid.uuid4()), **part) for part in parts]
        members = sorted(kept + made, key=lambda member: member.node)
        lie = item.model_dump(mode="json")
        lie["roster"] |= {"members": [m.model_dump(mode="json") for m in members],
                          "committee": [m.node for m in members], "threshold": 3}  # fmt: skip
        with pytest.raises(ValueError, match=f"{what} of their own"):
            Roster.model_validate(lie["roster"])
        with pytest.raises(ServiceRefused, match="roster"):
            first_time.run([lie])
        assert first_time.server.sent == []


def test_the_same_key_written_in_two_ways_is_one_key(first_time):
    """Base64 of 32 bytes leaves two bits over, which decoders ignore."""
    item, key = first_time.item, Ed25519PrivateKey.generate()
    made = [forged(item.roster, item.plan, node=str(uuid.uuid4()), name=name, key=key) for name in ("x", "y", "z")]
    text = made[1].signing_key
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    variant = text[:-2] + alphabet[alphabet.index(text[-2]) + 1] + "="
    assert base64.b64decode(variant, validate=True) == base64.b64decode(text)
    made[1] = made[1].model_copy(update={"signing_key": variant})
    with pytest.raises(ValueError, match="a signing key of their own"):
        work_with(item, made)
    assert fingerprint(variant) == fingerprint(text)


def test_a_known_bank_under_another_key(second_time):
    chosen, fake, lie = with_anothers_key(second_time)
    error = refused(second_time, lie, RosterChanged)
    assert grouped(fingerprint(chosen.signing_key)) in error.expected
    assert grouped(fingerprint(fake.signing_key)) in error.got
    assert f"bank-node banks --forget {chosen.name}" in str(error)
    assert second_time.store.halted() is not None


@pytest.mark.parametrize("change", ["name", "node"])
def test_a_known_key_under_another_name_or_id(second_time, recording, change):
    roster = second_time.item.roster
    chosen = next(member for member in roster.members if member.node in recording.banks)
    bank = recording.banks[chosen.node]
    node = str(uuid.uuid4()) if change == "node" else chosen.node
    renamed = forged(roster, second_time.item.plan, node=node, name="x" if change == "name" else chosen.name,
                     key=bank.key)  # fmt: skip
    lie = work_with(second_time.item, [renamed if m == chosen else m for m in roster.members])
    refused(second_time, lie, RosterChanged)


def test_invented_banks_under_the_names_of_known_ones(second_time, recording):
    names = [member.name for member in second_time.item.roster.members if member.node in recording.banks]
    refused(second_time, sybils(second_time, names), RosterChanged)


@pytest.mark.parametrize("which", ["first_time", "second_time"])
def test_where_the_policy_lists_the_banks_no_invented_one_is_dealt_a_key(request, which):
    victim = request.getfixturevalue(which)
    victim.policy(listed(victim.item.roster))
    error = refused(victim, sybils(victim, ["new-1", "new-2", "new-3", "new-4"]), UnlistedBank)
    assert error.bank.startswith("new-")
    assert "table [banks]" in str(error)
    assert "telephone" in str(error)
    chosen, fake, lie = with_anothers_key(victim)
    error = refused(victim, lie, UnlistedBank)
    assert error.bank == chosen.name
    assert grouped(fingerprint(chosen.signing_key)) in error.expected
    assert grouped(fingerprint(fake.signing_key)) in error.got
    # Not a broken promise: the honest roster is welcome, and so is one after the table was corrected.
    assert victim.store.halted() is None
    assert victim.run([victim.item]) == []
    assert victim.server.uploads[-1].path.endswith("/deal")


def test_an_empty_table_allows_nobody(first_time):
    first_time.policy("[banks]\n")
    refused(first_time, first_time.item, UnlistedBank)


def test_under_a_table_a_bank_may_enrol_anew(second_time):
    chosen, fake, lie = with_anothers_key(second_time)
    second_time.policy(listed(lie.roster))
    assert second_time.run([lie]) == []
    (known,) = [bank for bank in KnownBanks(second_time.home.banks, None, None).met() if bank.name == chosen.name]
    assert known.fingerprint == fingerprint(fake.signing_key)


def test_without_a_table_the_first_sight_is_the_servers_word_and_everything_says_so(first_time, capsys):
    """What the threat model says: until fingerprints are compared, the service is trusted for who is who."""
    names = ["new-1", "new-2", "new-3", "new-4"]
    lie = sybils(first_time, names)
    assert first_time.run([lie]) == []
    assert first_time.server.uploads[-1].path.endswith("/deal")
    logged = capsys.readouterr().out
    assert all(f"{name} (node" in logged for name in names)
    assert "trusted-at-first-sight" in logged
    assert read_status(first_time.home.status).unlisted_banks == tuple(names)
    out = cli(first_time, "status", exit_code=1)
    assert "fingerprints not compared: new-1, new-2, new-3, new-4" in out
    shown = cli(first_time, "banks")
    for member in lie.roster.members:
        assert grouped(fingerprint(member.signing_key)) in shown
    assert shown.count("NOT COMPARED") == 4


def cli(victim, *arguments, exit_code=0):
    done = CliRunner().invoke(main, [*arguments, "--home", str(victim.home.folder)])
    assert done.exit_code == exit_code, done.output
    return done.output


def test_the_table_is_written_from_what_was_seen(second_time):
    roster = second_time.item.roster
    rows = {row["name"]: row for row in json.loads(cli(second_time, "banks", "--json"))}
    for member in roster.members:
        row = rows[member.name]
        assert (row["node"], row["fingerprint"]) == (member.node, fingerprint(member.signing_key))
        assert row["known"] == ("own" if member.node == own(second_time) else "first sight")
        assert (row["first_seen_at_s"] is None) == (row["known"] == "own")
    table = cli(second_time, "banks", "--toml")
    second_time.policy("".join(table.splitlines(keepends=True)[:-1]))
    lacking = cli(second_time, "banks", "--toml")
    assert lacking.splitlines()[-1] == table.splitlines()[-1]
    assert "these lines belong into it" in lacking
    assert "[banks]\n" not in lacking
    second_time.policy(table)
    assert "with all of them" in cli(second_time, "banks", "--toml")
    assert cli(second_time, "banks").count("listed in policy.toml") == 4
    assert "NOT COMPARED" not in cli(second_time, "banks")
    _, _, lie = with_anothers_key(second_time)
    refused(second_time, lie, UnlistedBank)
    assert second_time.run([second_time.item]) == []
    assert read_status(second_time.home.status).unlisted_banks == ()


def test_a_bank_that_has_enrolled_anew_is_forgotten_by_hand(second_time):
    chosen, _, lie = with_anothers_key(second_time)
    assert "see `bank-node banks`" in cli(second_time, "banks", "--forget", "nobody", exit_code=8)
    cli(second_time, "banks", "--forget", chosen.name)
    assert second_time.run([lie]) == []


def test_the_own_fingerprint_is_the_one_to_tell(second_time):
    shown = json.loads(cli(second_time, "keys", "show", "--json"))
    assert shown["fingerprint"] == fingerprint(shown["signing_key"])
    assert grouped(shown["fingerprint"]) in cli(second_time, "keys", "show")
