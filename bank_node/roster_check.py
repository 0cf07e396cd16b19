"""What a bank checks before it deals its key to anyone: the plan is the one it accepted, and the roster is what plan
and acceptances make it.
"""

from __future__ import annotations

from bank_node.errors import RosterChanged
from bank_node.policy import AllOf, RosterRequest
from protocol.committee import committee_for
from protocol.errors import CommitteeTooWeak, StatementInvalid
from protocol.ids import NodeId, TrainingId
from protocol.plan import Plan
from protocol.roster import Member, Roster
from protocol.signing import key_from_text, verify_statement
from protocol.statements import Acceptance, SignedStatement


def check_roster(
    roster: Roster,
    *,
    training: TrainingId,
    plan: Plan,
    node: NodeId,
    own_acceptance: SignedStatement,
    policy: AllOf[RosterRequest],
) -> None:
    """Checks a roster.

    1. it is of this training, and large enough for the plan
    2. this bank is on it, with the acceptance that it has sent
    3. every acceptance verifies and names this training, this plan and its member
    4. committee and threshold are those that the plan gives
    5. the bank's policy allows it

    Raises:
        RosterChanged: one of the first four does not hold.
        PolicyRefused: the fifth does not.
    """
    where = f"roster of training {training}"
    # (1)
    if roster.training != training:
        raise RosterChanged(where, expected="this training's roster", got="another training's")
    if len(roster.members) < plan.cohort.min_banks:
        raise RosterChanged(where, expected=f"at least {plan.cohort.min_banks} banks", got=str(len(roster.members)))
    # (2)
    own = roster.member(node)
    if own is None or own.acceptance != own_acceptance:
        raise RosterChanged(where, expected="this bank with its own acceptance", got="none or another one")
    # (3)
    for member in roster.members:
        _check_member(where, member, training=training, plan=plan)
    # (4)
    try:
        committee, threshold = committee_for(plan, training, [member.acceptance for member in roster.members])
    except CommitteeTooWeak as error:
        raise RosterChanged(where, expected=error.expected, got=error.got) from error
    if roster.committee != committee or roster.threshold != threshold:
        raise RosterChanged(
            where,
            expected=f"the committee of {len(committee)} and threshold {threshold} that the plan gives",
            got=f"{len(roster.committee)} and {roster.threshold}, or other members",
        )
    # (5)
    policy.check(
        RosterRequest(plan, banks=len(roster.members), committee_size=len(committee), threshold=roster.threshold)
    )


def _check_member(where: str, member: Member, *, training: TrainingId, plan: Plan) -> None:
    try:
        acceptance = verify_statement(member.acceptance, Acceptance, key_from_text(member.signing_key))
    except StatementInvalid as error:
        raise RosterChanged(
            where, expected=f"an acceptance that verifies for {member.name}", got=f"{error.tag}: {error.got}"
        ) from error
    if (acceptance.training, acceptance.node, acceptance.plan) != (training, member.node, plan.digest()):
        raise RosterChanged(
            where, expected=f"{member.name}'s acceptance of this plan in this training", got="another acceptance"
        )
