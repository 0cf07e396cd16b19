"""The bank's own rules: what its node takes part in. No service can override them.

Each rule is a small object with `check(request)` that raises `PolicyRefused`; `AllOf` combines them. Plan rules are
asked at the invitation, round rules before every contribution and every decryption share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bank_node.errors import PolicyRefused
from protocol.plan import Plan, ProtectionLevel
from protocol.roster import MAX_COMMITTEE, default_threshold

RequestT = TypeVar("RequestT", contravariant=True)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """An invitation to take part in a training of a plan."""

    plan: Plan

    @property
    def where(self) -> str:
        """For messages."""
        return f"plan {self.plan.name!r}"

    @property
    def algorithm(self) -> str:
        """The kind of algorithm that the plan names."""
        return str(self.plan.learning.get("kind", "unnamed"))


@dataclass(frozen=True, slots=True)
class RosterRequest:
    """The roster with which a training would begin."""

    plan: Plan
    banks: int
    committee_size: int
    threshold: int

    @property
    def where(self) -> str:
        """For messages."""
        return f"roster of plan {self.plan.name!r}"


@dataclass(frozen=True, slots=True)
class ContributionRequest:
    """A round asks for a contribution; `rounds_today` were contributed to since midnight (UTC)."""

    training: str
    round: int
    rounds_today: int

    @property
    def where(self) -> str:
        """For messages."""
        return f"round {self.round} of training {self.training}"


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """A round asks for a decryption share of a sum over this many contributors."""

    training: str
    round: int
    contributors: int

    @property
    def where(self) -> str:
        """For messages."""
        return f"round {self.round} of training {self.training}"


class Rule(Protocol[RequestT]):
    """One rule."""

    def check(self, request: RequestT) -> None:
        """Says nothing if the rule allows it.

        Raises:
            PolicyRefused: it does not.
        """


class AllOf(Generic[RequestT]):
    """Every rule must allow it; the first that does not is the one that refuses."""

    def __init__(self, rules: Sequence[Rule[RequestT]]) -> None:
        self._rules = tuple(rules)

    def check(self, request: RequestT) -> None:
        """See `Rule.check`."""
        for rule in self._rules:
            rule.check(request)


@dataclass(frozen=True, slots=True)
class AllowedPlans:
    """Only plans with one of these names or digests; with neither given, any."""

    names: frozenset[str]
    digests: frozenset[str]

    def check(self, request: PlanRequest) -> None:
        """See `Rule.check`."""
        if not self.names and not self.digests:
            return
        if request.plan.name not in self.names and request.plan.digest() not in self.digests:
            allowed = ", ".join(sorted(self.names) + sorted(digest[:12] for digest in self.digests))
            raise PolicyRefused("plans", request.where, expected=f"one of {allowed}", got="another plan")


@dataclass(frozen=True, slots=True)
class AllowedAlgorithms:
    """Only these kinds of algorithm; with none given, any."""

    kinds: frozenset[str]

    def check(self, request: PlanRequest) -> None:
        """See `Rule.check`."""
        if self.kinds and request.algorithm not in self.kinds:
            allowed = ", ".join(sorted(self.kinds))
            raise PolicyRefused("algorithms", request.where, expected=f"one of {allowed}", got=request.algorithm)


@dataclass(frozen=True, slots=True)
class ProtectionRequired:
    """No plan in the clear, unless the bank says otherwise."""

    allow_unprotected: bool

    def check(self, request: PlanRequest) -> None:
        """See `Rule.check`."""
        if request.plan.protection.level is ProtectionLevel.NONE and not self.allow_unprotected:
            raise PolicyRefused(
                "allow_unprotected", request.where, expected="protection 'ckks'", got="protection 'none': in the clear"
            )


@dataclass(frozen=True, slots=True)
class SmudgingAtLeast:
    """Decryption shares drown what they must not say under at least this many bits."""

    bits: int

    def check(self, request: PlanRequest) -> None:
        """See `Rule.check`."""
        protection = request.plan.protection
        if protection.level is ProtectionLevel.CKKS and protection.smudging_bits < self.bits:
            raise PolicyRefused(
                "min_smudging_bits",
                request.where,
                expected=f"at least {self.bits} smudging bits",
                got=str(protection.smudging_bits),
            )


@dataclass(frozen=True, slots=True)
class ColumnsAtMost:
    """A plan that asks for more features and entities than this is refused."""

    columns: int

    def check(self, request: PlanRequest) -> None:
        """See `Rule.check`."""
        learning = request.plan.learning
        inputs = learning.get("inputs", {})
        features = inputs.get("features", ()) if isinstance(inputs, dict) else ()
        asked = _length(features) + _length(learning.get("entities", ()))
        if asked > self.columns:
            raise PolicyRefused(
                "max_columns", request.where, expected=f"at most {self.columns} columns", got=str(asked)
            )


def _length(columns: object) -> int:
    """How many columns are listed; what is no list is refused with the plan's other settings."""
    return len(columns) if isinstance(columns, list | tuple) else 0


@dataclass(frozen=True, slots=True)
class QuorumAtLeast:
    """A plan must sum at least this many banks in every round."""

    banks: int

    def check(self, request: PlanRequest) -> None:
        """See `Rule.check`."""
        if request.plan.cohort.min_banks < self.banks:
            raise PolicyRefused(
                "min_contributors",
                request.where,
                expected=f"a quorum of at least {self.banks} banks",
                got=str(request.plan.cohort.min_banks),
            )


@dataclass(frozen=True, slots=True)
class RosterAtLeast:
    """A training must begin with at least this many banks."""

    banks: int

    def check(self, request: RosterRequest) -> None:
        """See `Rule.check`."""
        if request.banks < self.banks:
            raise PolicyRefused(
                "min_contributors", request.where, expected=f"at least {self.banks} banks", got=str(request.banks)
            )


@dataclass(frozen=True, slots=True)
class AgreementBelowDefault:
    """A threshold below the default is safe against a server that names two contributor sets only with agreement."""

    required: bool

    def check(self, request: RosterRequest) -> None:
        """See `Rule.check`."""
        protection = request.plan.protection
        if not self.required or protection.level is ProtectionLevel.NONE or protection.agreement:
            return
        default = default_threshold(request.committee_size)
        if request.threshold < default:
            raise PolicyRefused(
                "require_agreement",
                request.where,
                expected=f"a threshold of at least {default} of {request.committee_size}, or agreement",
                got=f"{request.threshold} without agreement",
            )


@dataclass(frozen=True, slots=True)
class ThresholdAtLeast:
    """However they agree, fewer committee members than this must not open a sum; nor must a plan's own colluders."""

    members: int

    def check(self, request: PlanRequest | RosterRequest) -> None:
        """See `Rule.check`; a plan is asked for the threshold of its largest committee."""
        protection = request.plan.protection
        if protection.level is ProtectionLevel.NONE:
            return
        if isinstance(request, RosterRequest):
            threshold = request.threshold
        else:
            size = protection.committee_size or MAX_COMMITTEE
            threshold = min(size, protection.threshold_for(size))
        needed = max(self.members, protection.colluders + 1)
        if threshold < needed:
            raise PolicyRefused(
                "min_threshold", request.where,
                expected=f"a threshold of at least {needed} (min_threshold {self.members}; {protection.colluders} "
                "colluders must not be enough)",
                got=str(threshold),
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoundsADay:
    """Every aggregate says a little; this many a day and no more."""

    rounds: int

    def check(self, request: ContributionRequest) -> None:
        """See `Rule.check`."""
        if request.rounds_today >= self.rounds:
            raise PolicyRefused(
                "max_rounds_a_day",
                request.where,
                expected=f"at most {self.rounds} rounds a day",
                got=f"round {request.rounds_today + 1} of today",
            )


@dataclass(frozen=True, slots=True)
class ContributorsAtLeast:
    """No share for a sum over fewer banks than this."""

    banks: int

    def check(self, request: ShareRequest) -> None:
        """See `Rule.check`."""
        if request.contributors < self.banks:
            raise PolicyRefused(
                "min_contributors",
                request.where,
                expected=f"a contributor set of at least {self.banks} banks",
                got=str(request.contributors),
            )
