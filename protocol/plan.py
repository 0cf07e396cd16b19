"""A plan: everything that decides what a training does, written by the operator and accepted by every bank."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import rfc8785
from pydantic import Field, model_validator

from protocol.features import FeatureRecipe
from protocol.ids import DigestHex, Name, UUIDText
from protocol.roster import MAX_COMMITTEE, default_threshold
from protocol.statements import WireModel, canonical_digest


class ProtectionLevel(StrEnum):
    """How contributions are protected from everyone but their bank."""

    CKKS = "ckks"
    NONE = "none"


class Protection(WireModel):
    """The protection of a training's sums.

    Attributes:
        level: threshold CKKS, or nothing (development and baselines; everything that comes of it says so).
        committee_size: members of the decryption committee; None takes every bank, up to nine.
        threshold: how many members open a sum; None takes the default, two thirds and one.
        colluders: c, the number of committee members assumed to work with the server; below the threshold.
        agreement: a share leaves only with the signatures of more than (m + c) / 2 members over the same set.
        smudging_bits: statistical distance of 2^-bits a chunk between a share and one that reveals nothing.
        sum_bits: bits of the largest entry of a sum in units of a query's resolution.
    """

    level: ProtectionLevel = ProtectionLevel.CKKS
    committee_size: int | None = Field(default=None, ge=2, le=MAX_COMMITTEE)
    threshold: int | None = Field(default=None, ge=2, le=MAX_COMMITTEE)
    colluders: int = Field(default=1, ge=0, le=MAX_COMMITTEE)
    agreement: bool = False
    smudging_bits: int = Field(default=40, ge=30, le=60)
    sum_bits: int = Field(default=44, ge=20, le=48)

    def threshold_for(self, committee_size: int) -> int:
        """The threshold t in a committee of this size."""
        return self.threshold if self.threshold is not None else default_threshold(committee_size)

    def safe_colluders(self, committee_size: int) -> int:
        """The largest number of colluding members with whom a server that names two contributor sets opens nothing.

        Both sets open only if 2t ≤ m + c; with agreement also only if both gather more than (m + c) / 2 votes, for
        which more than the plan's c members must vote twice. And t colluders need no lying server.
        """
        t = self.threshold_for(committee_size)
        by_threshold = 2 * t - committee_size - 1
        return min(t - 1, max(by_threshold, self.colluders) if self.agreement else max(by_threshold, -1))


class Deadlines(WireModel):
    """How long the service waits, in seconds, before it goes on without who has not answered.

    Attributes:
        invitation_s: for a bank to accept the plan, or to refuse it.
        ceremony_s: for the key ceremony, before it begins anew without who is missing.
        contribution_s: for a round's contributions, and at the end for the banks' confirmation of the model.
        share_s: for a committee member's share; then its pieces are asked of others.
    """

    invitation_s: float = Field(default=600.0, gt=0)
    ceremony_s: float = Field(default=300.0, gt=0)
    contribution_s: float = Field(default=300.0, gt=0)
    share_s: float = Field(default=60.0, gt=0)


class Cohort(WireModel):
    """Which banks are asked, and how few are enough.

    Attributes:
        nodes: ids of the banks that are invited; None invites all that are enrolled.
        min_banks: the quorum: the smallest contributor set of any round. An honest bank must hide behind another, so
            with encryption it is at least `protection.colluders` + 2.
    """

    nodes: tuple[UUIDText, ...] | None = None
    min_banks: int = Field(default=3, ge=1)


class Plan(WireModel):
    """What a training does.

    Attributes:
        name: of the plan, and of the model that comes of it.
        description: for people.
        learning: the settings of one of the federated algorithms, feature schema included, in the form that
            `learning.algorithms` checks; its `kind` says which.
        features: how each bank derives its table's features.
        cohort: which banks are asked.
        protection: how their contributions are protected.
        deadlines: how long is waited.
        retention_days: days for which ciphertexts and shares are kept after the training has ended; an hour at least.
    """

    name: Name
    description: str = Field(default="", max_length=4000)
    learning: dict[str, Any]
    features: FeatureRecipe = FeatureRecipe()
    cohort: Cohort = Cohort()
    protection: Protection = Protection()
    deadlines: Deadlines = Deadlines()
    retention_days: int = Field(default=30, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        protection = self.protection
        if protection.level is ProtectionLevel.CKKS and self.cohort.min_banks < protection.colluders + 2:
            raise ValueError(
                f"cohort.min_banks: with {protection.colluders} colluders at least {protection.colluders + 2} banks "
                f"must be summed, got {self.cohort.min_banks}"
            )
        if (
            protection.threshold is not None
            and protection.committee_size is not None
            and protection.threshold > protection.committee_size
        ):
            raise ValueError("protection.threshold: must not exceed protection.committee_size")
        if self.learning.get("privacy") is not None and self.features.profile_windows_days:
            raise ValueError(
                "features.profile_windows_days: must be empty where learning.privacy is set: record-level privacy "
                "counts a record once, and a profile carries it into the features of the customer's other rows"
            )
        # The largest committee has the largest threshold; a smaller one is looked at when the banks are known.
        threshold = protection.threshold_for(protection.committee_size or MAX_COMMITTEE)
        if protection.level is ProtectionLevel.CKKS and threshold <= protection.colluders:
            raise ValueError(
                f"protection.threshold: {protection.colluders} colluders are assumed, and {threshold} members would "
                f"open every contribution: expected at least {protection.colluders + 1}"
            )
        try:
            self.digest()
        except rfc8785.CanonicalizationError as error:
            raise ValueError(
                "plan: has no canonical form that a bank could sign: expected finite numbers and integers within "
                f"±(2^53 - 1), got {error}"
            ) from error
        return self

    @property
    def honest_banks(self) -> int:
        """Banks of a quorum whose noise nobody can subtract again: each knows its own, colluders tell theirs."""
        if self.protection.level is ProtectionLevel.NONE:
            return 1  # every contribution is seen by itself
        return self.cohort.min_banks - max(1, self.protection.colluders)

    def digest(self) -> DigestHex:
        """SHA-256 of the canonical form, hex."""
        return canonical_digest(self)
