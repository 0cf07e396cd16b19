"""A server that lies to a bank's node during key ceremony and rounds: the node refuses with the right error, nothing
leaves it but its complaint, and its journal holds what it should.

The node is the product's own: its files, keys, handlers and agent, over real HTTP (`lying_server`).
"""

from __future__ import annotations

import base64

import pytest

from bank_node.durable import Disk
from bank_node.errors import (
    ContributionLost,
    DealRefused,
    Halted,
    KeysLost,
    LogForked,
    PolicyRefused,
    RosterChanged,
    SecondContributorSet,
    ServiceRefused,
    ServiceUnreachable,
    StaleWork,
)
from protocol.committee import committee_for
from protocol.ids import sha256_hex
from protocol.messages import EndedWork
from protocol.roster import Roster
from protocol.statements import ShareStatement
from tests.adversarial.lying_server import AGREED, PLAIN, Victim, raw_ids

OTHER = "ab" * 32


@pytest.fixture
def at(recording, tmp_path, server):
    """The node, just before the honest service asks something of it."""

    def node(plan, do, round_index=None):
        return Victim(recording.stage(plan, do, round_index), tmp_path / "victim", server)

    return node


def refuses(victim, lie, error, *words, halts=True):
    """The node refuses the lie for this reason, sends nothing but its complaint, and goes no further if it `halts`."""
    before = len(victim.server.uploads)
    errors = victim.run([lie])
    assert [type(found) for found in errors] == [error], errors
    assert all(word in str(errors[0]) for word in words), str(errors[0])
    assert victim.server.uploads[before:] == []
    if error is StaleWork:
        assert victim.server.complaints == []
        return errors[0]
    assert victim.server.complaints[-1].reason == str(errors[0])[:500] == victim.complaint()[:500]
    assert (victim.store.halted() is not None) == halts
    if halts:  # for good: not even the honest work is done, but to end, and the keys for it are gone
        assert not victim.store.has_keys()
    if halts and not isinstance(victim.item, EndedWork):
        assert [type(found) for found in victim.run([victim.item])] == [Halted]
        assert victim.server.uploads[before:] == []
    return errors[0]


def resigned(recording, signed, **changes):
    """A statement with other fields, signed by the bank that signed it."""
    statement = signed.statement.model_copy(update=changes)
    return recording.banks[signed.statement.node].sign(statement)


def of_others(recording, statements):
    """Those of banks whose keys the test has."""
    return [signed for signed in statements if signed.statement.node in recording.banks]


def replaced(statements, old, new):
    return tuple(new if signed == old else signed for signed in statements)


# What is refused below is refused for the lie: the honest work is done, and done again byte for byte after a restart.


@pytest.mark.parametrize("plan", [PLAIN, AGREED], ids=lambda plan: plan.name)
@pytest.mark.parametrize("do", ["answer_invitation", "deal", "receive", "contribute", "vote", "share", "confirm_model"])
def test_honest_work_is_answered_with_the_same_bytes_every_time(at, server, plan, do):
    if do == "vote" and plan is PLAIN:
        pytest.skip("asked only with agreement")
    victim = at(plan, do)
    assert victim.run([victim.item]) == []
    once = list(server.sent)
    assert once
    assert victim.run([victim.item]) == []
    assert server.sent == once * 2


# The roster.


def test_a_roster_that_changes_within_an_attempt(at, recording):
    victim = at(PLAIN, "receive")  # its roster is pinned
    honest = recording.stage(PLAIN, "deal").item
    without = smaller(PLAIN, honest.roster, honest.roster.members[0].node, victim, attempt=0)
    refuses(victim, honest.model_copy(update={"roster": without}), RosterChanged, "pinned")


def smaller(plan, roster, dropped, victim, *, attempt):
    """The roster without one other bank."""
    own = victim.store.acceptance().statement.node
    members = [member for member in roster.members if member.node != dropped or member.node == own]
    if len(members) == len(roster.members):
        members = [member for member in members if member.node != roster.members[1].node]
    committee, threshold = committee_for(plan, roster.training, [member.acceptance for member in members])
    return Roster(
        training=roster.training, attempt=attempt, members=tuple(members), committee=committee, threshold=threshold
    )


@pytest.mark.parametrize("do", ["contribute", "share"])
def test_a_new_roster_once_rounds_were_answered(at, recording, do):
    victim = at(PLAIN, do, 1) if do == "contribute" else at(PLAIN, do)
    honest = recording.stage(PLAIN, "deal").item
    other = smaller(PLAIN, honest.roster, honest.roster.members[0].node, victim, attempt=1)
    # In one process, so that the rounds' journal is open when the roster comes.
    errors = victim.run([victim.item], [honest.model_copy(update={"roster": other})])
    assert [type(found) for found in errors] == [RosterChanged]
    assert "no new ceremony" in str(errors[0])
    assert not any("/ceremony/" in sent.path for sent in victim.server.uploads)


def test_another_plan_under_the_training_that_was_accepted(at):
    victim = at(PLAIN, "deal")
    other = PLAIN.model_copy(update={"description": "more trees"})
    refuses(victim, victim.item.model_copy(update={"plan": other}), RosterChanged, "plan accepted")


def test_a_roster_with_another_acceptance_of_ones_own(at, recording):
    victim = at(PLAIN, "deal")
    roster = victim.item.roster
    own = victim.store.acceptance()
    bent = own.model_copy(update={"signature": base64.b64encode(bytes(64)).decode()})
    members = tuple(m.model_copy(update={"acceptance": bent}) if m.acceptance == own else m for m in roster.members)
    lie = roster.model_copy(update={"members": members})
    refuses(victim, victim.item.model_copy(update={"roster": lie}), RosterChanged, "own acceptance")


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"threshold": 3}, "threshold"), ({"committee": None}, "committee")],
    ids=["threshold", "committee"],
)
def test_a_committee_or_threshold_that_the_plan_does_not_give(at, changes, word):
    victim = at(PLAIN, "deal")
    roster = victim.item.roster
    changes = {name: roster.committee[1:] if value is None else value for name, value in changes.items()}
    lie = victim.item.model_copy(update={"roster": roster.model_copy(update=changes)})
    refuses(victim, lie, RosterChanged, word)


@pytest.mark.parametrize("field", ["training", "plan"])
def test_an_acceptance_of_another_training_or_plan(at, recording, field):
    victim = at(PLAIN, "deal")
    roster = victim.item.roster
    member = next(member for member in roster.members if member.node in recording.banks)
    value = recording.trainings["agreed"] if field == "training" else OTHER
    forged = member.model_copy(update={"acceptance": resigned(recording, member.acceptance, **{field: value})})
    lie = roster.model_copy(update={"members": tuple(forged if m == member else m for m in roster.members)})
    refuses(victim, victim.item.model_copy(update={"roster": lie}), RosterChanged, "acceptance of this plan")


# The key ceremony.


def test_deals_of_another_training(at, recording):
    victim = at(AGREED, "receive")
    replayed = recording.stage(PLAIN, "receive").item.deals
    refuses(victim, victim.item.model_copy(update={"deals": replayed}), RosterChanged, "pinned roster")


@pytest.mark.parametrize("changes", [{"attempt": 1}, {"roster": OTHER}], ids=["attempt", "roster"])
def test_a_deal_of_another_attempt_or_roster(at, recording, changes):
    victim = at(PLAIN, "receive")
    deal = of_others(recording, victim.item.deals)[0]
    deals = replaced(victim.item.deals, deal, resigned(recording, deal, **changes))
    refuses(victim, victim.item.model_copy(update={"deals": deals}), RosterChanged, "pinned roster")


def test_too_few_deals(at):
    victim = at(PLAIN, "receive")
    refuses(victim, victim.item.model_copy(update={"deals": victim.item.deals[1:]}), RosterChanged, "5 deals")


def test_a_deal_signed_by_somebody_else(at, recording):
    victim = at(PLAIN, "receive")
    first, second = of_others(recording, victim.item.deals)[:2]
    forged = recording.banks[second.statement.node].sign(first.statement)
    lie = victim.item.model_copy(update={"deals": replaced(victim.item.deals, first, forged)})
    refuses(victim, lie, RosterChanged, "deal")


def test_an_attempt_that_was_never_begun(at):
    victim = at(PLAIN, "receive")
    refuses(victim, victim.item.model_copy(update={"attempt": 7}), StaleWork)


def sealed_path(victim, dealer):
    return f"trainings/{victim.item.training}/ceremony/0/sealed/{dealer}"


def test_a_sealed_message_other_than_its_dealer_signed(at, recording, server):
    victim = at(PLAIN, "receive")
    dealer = of_others(recording, victim.item.deals)[0].statement.node
    other = of_others(recording, victim.item.deals)[1].statement.node
    server.files[sealed_path(victim, dealer)] = server.files[sealed_path(victim, other)]
    refuses(victim, victim.item, RosterChanged, "its dealer signed")


@pytest.mark.parametrize("junk", ["nothing", "short", "junk", "another dealer's", "another training's", "unsealed"])
def test_a_bad_deal_is_refused_by_name_and_the_next_attempt_is_welcome(at, recording, server, junk):
    victim = at(AGREED, "receive")
    own = victim.store.acceptance().statement.node
    bad, good = of_others(recording, victim.item.deals)[:2]
    dealer = bad.statement.node
    earlier = recording.trainings["plain"]
    message = {
        "nothing": b"",
        "short": b"\0\0",
        "junk": (500).to_bytes(4, "big") + bytes(500),
        "another dealer's": server.files[sealed_path(victim, good.statement.node)],
        "another training's": server.files[f"trainings/{earlier}/ceremony/0/sealed/{dealer}"],
        "unsealed": None,
    }[junk]
    sealed = {node: digest for node, digest in bad.statement.sealed.items() if node != own}
    if message is not None:  # the dealer signs for it: nobody but its recipient can see that it is none
        sealed[own] = sha256_hex(message)
        server.files[sealed_path(victim, dealer)] = message
    deals = replaced(victim.item.deals, bad, resigned(recording, bad, sealed=sealed))
    error = refuses(victim, victim.item.model_copy(update={"deals": deals}), DealRefused, dealer, halts=False)
    assert error.dealer == dealer == server.complaints[-1].about
    assert victim.store.attempt(0).receipt() is None
    # The ceremony begins again without that dealer, and this bank is as willing as before.
    honest = recording.stage(AGREED, "deal").item
    again = smaller(AGREED, honest.roster, dealer, victim, attempt=1)
    assert victim.run([honest.model_copy(update={"roster": again})]) == []
    assert server.uploads[-1].path.endswith("/ceremony/1/deal")
    assert victim.complaint() is None


@pytest.mark.parametrize("commitments", ["A===", "AAAA", ""])
def test_a_deal_whose_commitments_are_none(at, recording, commitments):
    victim = at(PLAIN, "receive")
    bad = of_others(recording, victim.item.deals)[0]
    if commitments == "A===":
        statement = bad.statement.model_copy(update={"commitments": "A=="})
        forged = recording.banks[bad.statement.node].sign(statement)
    else:
        forged = resigned(recording, bad, commitments=commitments)
    deals = replaced(victim.item.deals, bad, forged)
    refuses(victim, victim.item.model_copy(update={"deals": deals}), DealRefused, "commitments", halts=False)


# Contributor sets.


def lied_sets(recording, statements, own):
    """Name → (statements, error): contributor sets that must not be answered for."""
    others = of_others(recording, statements)
    first, second = others[:2]
    stranger = recording.banks[first.statement.node].sign(
        first.statement.model_copy(update={"node": "01930000-0000-7000-8000-000000000001"})
    )
    return {
        "too few": (tuple(others[:2]), RosterChanged),
        "nobody": ((), RosterChanged),
        "off the roster": ((*statements, stranger), RosterChanged),
        "one twice": ((*statements, first), RosterChanged),
        "one twice instead of another": (replaced(statements, second, first), RosterChanged),
        "badly signed": (
            replaced(statements, first, recording.banks[second.statement.node].sign(first.statement)),
            RosterChanged,
        ),
        "no contributions": (replaced(statements, first, own), RosterChanged),
        "of another round": (replaced(statements, first, resigned(recording, first, round=99)), LogForked),
        "of another query": (replaced(statements, first, resigned(recording, first, query=OTHER)), LogForked),
        "on another history": (replaced(statements, first, resigned(recording, first, history=OTHER)), LogForked),
        "of another training": (
            replaced(statements, first, resigned(recording, first, training=recording.trainings["agreed"])),
            LogForked,
        ),
    }


@pytest.mark.parametrize("do", ["vote", "share"])
@pytest.mark.parametrize(
    "lie",
    [
        "too few", "nobody", "off the roster", "one twice", "one twice instead of another", "badly signed",
        "no contributions", "of another round", "of another query", "on another history", "of another training",
    ],
)  # fmt: skip
def test_a_contributor_set_that_is_none(at, recording, do, lie):
    plan = AGREED if do == "vote" else PLAIN
    victim = at(plan, do)
    if lie == "of another training" and plan is AGREED:
        pytest.skip("the other training is this one")
    statements, error = lied_sets(recording, victim.item.contributors, victim.store.acceptance())[lie]
    refuses(victim, victim.item.model_copy(update={"contributors": statements}), error)
    assert victim.recorded_contributors(victim.item.round) is None


@pytest.mark.parametrize("lie", ["by another's key", "of other bytes", "twice", None])
def test_its_own_contribution_told_otherwise_just_after_it_was_sent(at, recording, lie):
    victim = at(PLAIN, "share")
    statements = victim.item.contributors
    [own] = [signed for signed in statements if signed.statement.node not in recording.banks]
    by_another = recording.banks[of_others(recording, statements)[0].statement.node].sign(own.statement)
    of_other_bytes = own.model_copy(update={"statement": own.statement.model_copy(update={"digest": OTHER})})
    told = {
        "by another's key": replaced(statements, own, by_another),
        "of other bytes": replaced(statements, own, of_other_bytes),
        "twice": (*statements, own),
        None: statements,
    }[lie]
    contribute = recording.stage(PLAIN, "contribute", victim.item.round).item
    errors = victim.run([contribute], [victim.item.model_copy(update={"contributors": told})])
    assert [type(error) for error in errors] == ([] if lie is None else [RosterChanged])
    answered = None if lie is not None else raw_ids(statements)
    assert victim.recorded_contributors(victim.item.round) == answered


def test_fewer_contributors_than_the_policy_asks_for_though_the_plan_allows_them(at, recording):
    victim = at(PLAIN, "share")
    victim.policy("min_contributors = 5\n")
    fewer = tuple(of_others(recording, victim.item.contributors))
    lie = victim.item.model_copy(update={"contributors": fewer})
    refuses(victim, lie, PolicyRefused, "min_contributors", halts=False)
    assert victim.recorded_contributors(victim.item.round) is None


@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
@pytest.mark.parametrize("do", ["vote", "share"])
def test_a_second_contributor_set_for_a_round_that_was_answered(at, recording, server, do, restart):
    victim = at(AGREED if do == "vote" else PLAIN, do)
    honest = victim.item
    second = honest.model_copy(update={"contributors": tuple(of_others(recording, honest.contributors))})
    runs = [[honest], [second]]
    errors = [*victim.run(runs[0]), *victim.run(runs[1])] if restart else victim.run(*runs)
    assert [type(found) for found in errors] == [SecondContributorSet]
    assert len(server.uploads) == 1  # the first answer, and none to the second set
    assert victim.recorded_contributors(honest.round) == raw_ids(honest.contributors)
    assert victim.store.halted() is not None


def test_the_same_share_is_asked_twice_and_pieces_in_two_parts(at, server):
    victim = at(PLAIN, "share")
    assert victim.run([victim.item], [victim.item]) == []
    assert victim.run([victim.item]) == []
    assert len({(sent.body, sent.header) for sent in server.uploads}) == 1
    assert isinstance(server.uploads[0].statement, ShareStatement)
    assert len(server.uploads) == 3


def test_pieces_that_this_member_does_not_hold(at):
    victim = at(PLAIN, "share")
    pieces = tuple(range(10))  # all there are in a committee of five with threshold four
    refuses(victim, victim.item.model_copy(update={"pieces": pieces}), RosterChanged, "pieces")


# Contributions.


def test_another_query_for_a_round(at):
    victim = at(PLAIN, "contribute", 0)
    refuses(victim, victim.item.model_copy(update={"query": OTHER}), LogForked, "query")
    assert victim.recorded_contribution(0) is None


@pytest.mark.parametrize("field", ["query", "history"])
def test_a_second_contribution_after_a_restart(at, server, field):
    victim = at(PLAIN, "contribute", 0)
    assert victim.run([victim.item]) == []
    (sent,) = server.uploads
    refuses(victim, victim.item.model_copy(update={field: OTHER}), LogForked)
    assert victim.recorded_contribution(0) == bytes.fromhex(sha256_hex(sent.body))


def test_a_contribution_whose_answer_was_lost_is_sent_again_unchanged(at, server):
    victim = at(PLAIN, "contribute", 0)
    server.broken = True
    assert [type(error) for error in victim.run([victim.item])] == [ServiceUnreachable]
    server.broken = False
    assert victim.run([victim.item]) == []
    assert len(server.uploads) > 1
    assert len({(sent.body, sent.header) for sent in server.uploads}) == 1


class Crash(BaseException):
    """Falls out of everything, as SIGKILL does."""


def crash_at(step):
    def reached(name):
        if name == step:
            raise Crash(name)

    return Disk(reached)


def test_kept_but_not_yet_recorded(at, server):
    victim = at(PLAIN, "contribute", 0)
    with pytest.raises(Crash):
        victim.run([victim.item], disk=crash_at("written:contribution"))
    assert server.sent == []
    _, kept = victim.store.outbox.get(0)
    assert victim.recorded_contribution(0) is None
    assert victim.run([victim.item]) == []
    assert [sent.body for sent in server.uploads] == [kept]
    assert victim.recorded_contribution(0) == bytes.fromhex(sha256_hex(kept))


@pytest.mark.parametrize("damage", ["lost", "torn", "another one"])
def test_recorded_but_no_longer_kept(at, server, damage):
    victim = at(PLAIN, "contribute", 0)
    assert victim.run([victim.item]) == []
    recorded = victim.recorded_contribution(0)
    file = victim.store.folder / "contribution"
    if damage == "lost":
        file.unlink()
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:-1])
    else:  # of an older copy of the folder, say
        signed, body = victim.store.outbox.get(0)
        other = body[:-1] + bytes([body[-1] ^ 1])
        statement = signed.statement.model_copy(update={"digest": sha256_hex(other)})
        victim.store.outbox.put(signed.model_copy(update={"statement": statement}), other)
    refuses(victim, victim.item, ContributionLost)
    assert victim.recorded_contribution(0) == recorded
    assert len(server.uploads) == 1


def test_rounds_that_are_over(at, recording):
    victim = at(PLAIN, "contribute", 1)
    assert victim.run([victim.item]) == []  # it has applied round 0
    before = len(victim.server.uploads)
    refuses(victim, recording.stage(PLAIN, "contribute", 0).item, StaleWork)
    assert len(victim.server.uploads) == before
    assert victim.recorded_contribution(1) is not None


def test_a_round_that_no_history_reaches(at, recording, server):
    victim = at(PLAIN, "contribute", 0)
    future = recording.stage(PLAIN, "contribute", 8).item.model_copy(update={"applied": None, "round": 8})
    del server.files[f"trainings/{future.training}/rounds/3/applied"]
    errors = victim.run([future])  # it asks for the rounds in between, and is not told one of them
    assert [type(error) for error in errors] == [ServiceRefused]
    assert server.uploads == []


# The past.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aggregate": base64.b64encode(bytes(8)).decode()}, "aggregate of the digest"),
        ({"digest": OTHER}, "aggregate of the digest"),
        ({"query": OTHER}, "query"),
        ({"contributors": "two"}, "at least 3"),
        ({"contributors": "stranger"}, "on the roster"),
        ({"contributors": "twice"}, "once each"),
    ],
    ids=["aggregate", "digest", "query", "two banks", "a stranger", "one twice"],
)
def test_a_round_that_is_told_otherwise_than_it_can_have_been(at, changes, words):
    victim = at(PLAIN, "contribute", 1)
    applied = victim.item.applied
    everyone = applied.contributors
    sets = {"two": everyone[:2], "stranger": (*everyone[:4], victim.item.training), "twice": (*everyone, everyone[0])}
    changes = {name: sets.get(value, value) for name, value in changes.items()}
    lie = victim.item.model_copy(update={"applied": applied.model_copy(update=changes)})
    refuses(victim, lie, LogForked, words)
    assert victim.recorded_contribution(1) is None
    assert list(victim.store.applied.replay()) == []


def test_a_sum_over_another_set_than_this_bank_answered_for(at, recording):
    shared = recording.stage(PLAIN, "share").item.round
    victim = at(PLAIN, "contribute", shared + 1)
    applied = victim.item.applied
    lie = applied.model_copy(update={"contributors": applied.contributors[1:]})
    refuses(victim, victim.item.model_copy(update={"applied": lie}), LogForked, "answered for")


def test_a_fork(at, recording):
    """Another aggregate of round 0, right in itself: this bank's own history differs from what the rest signs."""
    victim = at(PLAIN, "contribute", 1)
    applied = victim.item.applied
    data = bytearray(base64.b64decode(applied.aggregate))
    data[0] ^= 1
    lie = applied.model_copy(update={"aggregate": base64.b64encode(data).decode(), "digest": sha256_hex(bytes(data))})
    errors = victim.run([victim.item.model_copy(update={"applied": lie})])
    assert [type(error) for error in errors] == [LogForked]
    assert victim.server.uploads == []


@pytest.mark.parametrize("change", ["digest", "contributors"])
def test_a_past_round_told_otherwise_than_before(at, change):
    victim = at(PLAIN, "contribute", 1)
    assert victim.run([victim.item]) == []
    applied = victim.item.applied
    value = OTHER if change == "digest" else applied.contributors[1:]
    lie = victim.item.model_copy(update={"applied": applied.model_copy(update={change: value})})
    refuses(victim, lie, LogForked, "as this bank has applied it")


def test_an_aggregate_longer_than_its_query_is_not_even_read(at, server):
    victim = at(PLAIN, "contribute", 1)
    applied = victim.item.applied
    path = f"trainings/{victim.item.training}/rounds/0/aggregate"
    server.files[path] = bytes(len(server.files[path]) + 1)
    inline = victim.item.model_copy(update={"applied": applied.model_copy(update={"aggregate": None})})
    errors = victim.run([inline])
    assert [type(error).__name__ for error in errors] == ["AnswerUnfit"]
    assert server.uploads == []
    assert victim.store.halted() is None  # a proxy's fault, perhaps: it is asked for again


def test_the_end_of_rounds_before_there_is_a_model(at, recording):
    victim = at(PLAIN, "contribute", 1)
    early = recording.stage(PLAIN, "confirm_model").item.model_copy(
        update={"rounds": 1, "applied": victim.item.applied}
    )
    refuses(victim, early, LogForked, "end of rounds")


def test_a_release_of_another_model_than_this_bank_derived(at):
    victim = at(PLAIN, "end")
    refuses(victim, victim.item.model_copy(update={"model": OTHER}), LogForked, "derived", halts=True)


# Agreement.


def foreign_votes(recording, work, own):
    votes = {signed.statement.node: signed for signed in of_others(recording, work.votes)}
    some = next(iter(votes.values()))
    return {
        "too few": tuple(votes.values())[:2],
        "none": (),
        "the same one again": (some,) * 6,
        "for another round": tuple(resigned(recording, signed, round=99) for signed in votes.values()),
        "for another set": tuple(
            resigned(recording, signed, contributors=signed.statement.contributors[1:]) for signed in votes.values()
        ),
        "for another query": tuple(resigned(recording, signed, query=OTHER) for signed in votes.values()),
        "on another history": tuple(resigned(recording, signed, history=OTHER) for signed in votes.values()),
        "of another training": tuple(
            resigned(recording, signed, training=recording.trainings["plain"]) for signed in votes.values()
        ),
        "of strangers": tuple(
            recording.banks[some.statement.node].sign(
                some.statement.model_copy(update={"node": f"01930000-0000-7000-8000-00000000000{number}"})
            )
            for number in range(6)
        ),
        "no votes": (own,) * 6,
        "badly signed": tuple(recording.banks[some.statement.node].sign(signed.statement) for signed in votes.values()),
    }


@pytest.mark.parametrize(
    "lie",
    [
        "too few", "none", "the same one again", "for another round", "for another set", "for another query",
        "on another history", "of another training", "of strangers", "no votes", "badly signed",
    ],
)  # fmt: skip
def test_votes_that_agree_on_nothing(at, recording, lie):
    victim = at(AGREED, "share")
    votes = foreign_votes(recording, victim.item, victim.store.acceptance())[lie]
    refuses(victim, victim.item.model_copy(update={"votes": votes}), RosterChanged, "votes")


def test_a_vote_for_another_query(at):
    victim = at(AGREED, "vote")
    refuses(victim, victim.item.model_copy(update={"query": OTHER}), LogForked, "query")
    assert victim.recorded_contributors(victim.item.round) is None


# What stays of it.


def test_work_after_the_end_finds_no_keys(at, recording, server):
    victim = at(PLAIN, "end")
    assert victim.run([victim.item]) == []
    assert not victim.store.has_keys()
    (farewell,) = server.uploads
    assert farewell.path.endswith("/farewell")
    share = recording.stage(PLAIN, "share").item
    refuses(victim, share, KeysLost, "after the end")
