"""A vote is for one contributor set, one query and one past; any other counts nowhere."""

from __future__ import annotations

import pytest

from bank_node.errors import RosterChanged
from bank_node.round_check import check_agreement
from consortium.trainings.errors import HistoryForked
from protocol.messages import VoteWork
from protocol.statements import Vote
from tests.consortium.test_training_thread import Consortium


@pytest.fixture
def voting(tmp_path):
    """A training whose banks owe their votes in round 1, and what each owes."""
    consortium = Consortium(tmp_path)
    training = consortium.start("ckks", threshold=3, agreement=True)
    consortium.until(training, 1)
    while True:
        owed = {bank: bank.transport.work().items for bank in consortium.banks}
        items = {bank: work[0] for bank, work in owed.items() if work and isinstance(work[0], VoteWork)}
        if len(items) == len(consortium.banks):
            return consortium, training, items
        for bank, work in owed.items():
            if bank not in items:
                for item in work:
                    bank.perform(item)
        consortium.service.run_tasks()


def vote_of(bank, item, **changes):
    """A bank's signed vote, as it would send it or otherwise."""
    bank._catch_up(item.applied, f"trainings/{item.training}")
    fields = {
        "training": item.training, "round": item.round, "node": bank.node, "query": item.query,
        "history": bank.history, "contributors": tuple(signed.statement.node for signed in item.contributors),
    }  # fmt: skip
    return bank.sign(Vote(**(fields | changes)))


@pytest.mark.parametrize("name", ["query", "history"])
def test_the_service_takes_no_vote_for_another_query_or_past(voting, name):
    consortium, training, items = voting
    bank, item = next(iter(items.items()))
    with pytest.raises(HistoryForked, match="the query and history of the round"):
        bank.transport.put_json(f"trainings/{training}/rounds/1/vote", vote_of(bank, item, **{name: "ab" * 32}))
    assert consortium.finish(training).model_digest is not None


@pytest.mark.parametrize(
    "changes", [{"query": "ab" * 32}, {"history": "ab" * 32}, {"round": 0}, {"contributors": ("f" * 8,)}]
)
def test_a_bank_counts_only_votes_for_this_contributor_set_query_and_past(voting, changes):
    _, training, items = voting
    bank, item = next(iter(items.items()))
    if "contributors" in changes:
        changes = {"contributors": tuple(signed.statement.node for signed in item.contributors)[1:]}
    votes = [vote_of(voter, owed) for voter, owed in items.items()]
    wanted = {
        "training": training, "round_index": 1, "plan": bank.plan, "roster": bank.roster, "query": item.query,
        "history": bank.history, "contributors": votes[0].statement.contributors,
    }  # fmt: skip
    check_agreement(votes, **wanted)
    good, bad = votes[:3], [vote_of(voter, owed, **changes) for voter, owed in list(items.items())[3:]]
    with pytest.raises(RosterChanged, match="4 committee members' votes for this contributor set, got 3"):
        check_agreement([*good, *bad], **wanted)
