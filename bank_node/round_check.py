"""What a bank checks before it names or answers for a contributor set: who is in it, and that each of them has signed
for exactly this round.
"""

from __future__ import annotations

from collections.abc import Sequence

from bank_node.errors import LogForked, RosterChanged
from protocol.errors import StatementInvalid
from protocol.ids import NodeId, TrainingId
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.signing import key_from_text, verify_statement
from protocol.statements import ContributionStatement, SignedStatement, Vote


def check_contributors(
    statements: Sequence[SignedStatement],
    *,
    training: TrainingId,
    round_index: int,
    plan: Plan,
    roster: Roster,
    query: str,
    history: str,
    own: SignedStatement | None = None,
) -> tuple[NodeId, ...]:
    """The contributor set U that these statements make up.

    1. every statement is signed by a bank on the pinned roster; `own` is the one that this bank itself has signed
    2. it names this training, this round, this query, and the history that this bank has seen
    3. no bank is named twice, and there are at least as many as the plan asks for

    Returns:
        U in ascending order of node id.

    Raises:
        RosterChanged: (1) or (3) does not hold.
        LogForked: (2) does not.
    """
    where = f"round {round_index} of training {training}"
    contributors: list[NodeId] = []
    for signed in statements:
        # (1)
        statement = _verified(where, signed, roster, own)
        # (2)
        if (statement.training, statement.round) != (training, round_index):
            raise LogForked(where, expected="contributions to this round", got=f"one to round {statement.round}")
        if statement.query != query or statement.history != history:
            raise LogForked(where, expected="contributions on the history that this bank has seen", got="another one")
        contributors.append(NodeId(statement.node))
    # (3)
    if len(set(contributors)) != len(contributors):
        raise RosterChanged(where, expected="every bank once", got="a bank named twice")
    if len(contributors) < plan.cohort.min_banks:
        wanted = f"at least {plan.cohort.min_banks} contributors"
        raise RosterChanged(where, expected=wanted, got=str(len(contributors)))
    return tuple(sorted(contributors))


def check_agreement(
    votes: Sequence[SignedStatement],
    *,
    training: TrainingId,
    round_index: int,
    plan: Plan,
    roster: Roster,
    query: str,
    history: str,
    contributors: Sequence[NodeId],
) -> None:
    """Checks that more than (m + c) / 2 committee members have signed for exactly this contributor set, query and past.

    With c members voting twice, two different sets could gather at most m + c votes between them, so that not both
    can have more than half of that (design of quorums; see docs/crypto.md).

    Raises:
        RosterChanged: they have not.
    """
    where = f"round {round_index} of training {training}"
    wanted = (training, round_index, query, history, tuple(contributors))
    agreed: set[str] = set()
    for signed in votes:
        # A vote that names nobody of the committee counts for nothing; neither does a statement that is no vote.
        voter = signed.statement.node if isinstance(signed.statement, Vote) else ""
        member = roster.member(voter)
        if member is None or member.node not in roster.committee:
            continue
        try:
            vote = verify_statement(signed, Vote, key_from_text(member.signing_key))
        except StatementInvalid as error:
            raise RosterChanged(where, expected="votes that verify", got=f"{member.name}: {error.got}") from error
        if (vote.training, vote.round, vote.query, vote.history, tuple(vote.contributors)) == wanted:
            agreed.add(member.node)
    needed = (len(roster.committee) + plan.protection.colluders) // 2 + 1
    if len(agreed) < needed:
        raise RosterChanged(
            where, expected=f"{needed} committee members' votes for this contributor set", got=str(len(agreed))
        )


def _verified(
    where: str, signed: SignedStatement, roster: Roster, own: SignedStatement | None
) -> ContributionStatement:
    try:
        statement = signed.expect(ContributionStatement)
        if signed == own:
            return statement
        member = roster.member(statement.node)
        if member is None:
            raise RosterChanged(where, expected="contributors on the pinned roster", got="one who is not on it")
        return verify_statement(signed, ContributionStatement, key_from_text(member.signing_key))
    except StatementInvalid as error:
        raise RosterChanged(where, expected="contributions that verify", got=f"{error.tag}: {error.got}") from error
