"""Creating and listing plans, and what one will cost and protect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

import crypto
from consortium.plans.errors import PlanInvalid, PlanMissing, PlanNameTaken, PlanTrained
from consortium.plans.first_query import FirstQuery, first_query
from consortium.plans.tables import PlanRow
from consortium.plans.unmade import unmade_features
from consortium.trainings.tables import Training
from crypto.errors import CryptoError
from protocol.committee import size_and_threshold
from protocol.errors import CommitteeTooWeak
from protocol.plan import Plan, ProtectionLevel
from protocol.statements import WireModel

if TYPE_CHECKING:
    from sqlalchemy.sql.selectable import ForUpdateParameter


class Collusion(WireModel):
    """Who must work together to learn what."""

    who: str
    learns: str


class PlanCheck(WireModel):
    """What a plan means for a number of banks, before anyone is asked.

    Attributes:
        banks: for how many this was computed.
        committee_size: members that hold key pieces; 0 without encryption.
        threshold: how many of them open a sum.
        bytes_per_value: what a bank sends for each number of a contribution.
        error_units: the largest error of a sum before it is rounded, as a part of one unit; below 1/2 it is exact.
        smudging_bits: each chunk of 8,191 values shows more than the sum with probability of at most 2^-bits.
        first_query: name of the first sum.
        first_values: numbers in it.
        rounds_expected: how many sums there will be, about.
        bytes_per_bank: what a bank sends in contributions to all of them, about. The shares that open one sum take at
            most as much for each member of the committee that is asked for one.
        collusion: who must collude to learn what.
        settings: of the algorithm, defaults included, without its inputs.
        warnings: what the operator and the banks should know.
    """

    banks: int
    committee_size: int
    threshold: int
    bytes_per_value: float
    error_units: float
    smudging_bits: int
    first_query: str
    first_values: int
    rounds_expected: int
    bytes_per_bank: int
    collusion: tuple[Collusion, ...]
    settings: dict[str, Any]
    warnings: tuple[str, ...]


_IN_THE_CLEAR = "protection is none: contributions are in the clear for the server; for development only"
_NOT_JUDGED = (
    "learning: no test rows are set aside (inputs.split: test_from or test_share), or they are not evaluated: the "
    "model's card will have no figures of test rows"
)


def check_plan(plan: Plan, *, banks: int, tables: Mapping[str, Plan]) -> PlanCheck:
    """Builds the algorithm, derives the parameters, and says what comes of them.

    Args:
        plan: the plan.
        banks: how many would take part.
        tables: training → its plan, of those that `features.entity_tables` names and that there are.

    Raises:
        PlanInvalid: the learning settings or the protection do not work; the sentence names the field.
    """
    query = first_query(plan.name, plan.learning)
    if not query.name:
        raise PlanInvalid(f"plan {plan.name!r}: learning: the algorithm asks for no sum at all")
    warnings = [
        *([] if query.is_judged else [_NOT_JUDGED]), *_warned_of_features(plan, tables),
        *_warned_of_noise(plan, query.settings),
    ]  # fmt: skip
    if plan.protection.level is ProtectionLevel.NONE:
        return PlanCheck(
            banks=banks, committee_size=0, threshold=0, bytes_per_value=8.0, error_units=0.0, smudging_bits=0,
            first_query=query.name, first_values=query.length, rounds_expected=query.rounds,
            bytes_per_bank=8 * query.values, collusion=(), settings=query.settings,
            warnings=(_IN_THE_CLEAR, *warnings),
        )  # fmt: skip
    return _check_encrypted(plan, banks, query, warnings)


def _warned_of_features(plan: Plan, tables: Mapping[str, Plan]) -> list[str]:
    found = {training: table for training, table in tables.items() if table.learning["kind"] == "entity_tables"}
    missing = [training for training in plan.features.entity_tables if training not in found]
    settings = [first_query(table.name, table.learning).settings for table in found.values()]
    return [
        *(f"features.entity_tables: {training} is no training of entity tables here" for training in missing),
        *unmade_features(plan, settings),
    ]


def _warned_of_noise(plan: Plan, settings: Mapping[str, Any]) -> list[str]:
    privacy = settings.get("privacy")
    if privacy is not None:
        where, relied_on = "learning.privacy.noise_banks", privacy["noise_banks"]
    elif settings.get("noise_sigma"):
        where, relied_on = "learning.noise_banks", settings["noise_banks"]
    else:
        return []
    if relied_on <= plan.honest_banks:
        return []
    limit = f"at most {plan.honest_banks}, the quorum less the colluders (at least one), or 1 without encryption"
    return [f"{where}: every bank refuses {relied_on}: expected {limit}"]


def _check_encrypted(plan: Plan, banks: int, query: FirstQuery, warnings: list[str]) -> PlanCheck:
    protection = plan.protection
    try:
        size, threshold = size_and_threshold(plan, banks)
        spec = crypto.ParameterSpec(protection.sum_bits, banks, size, threshold, protection.smudging_bits)
        parameters = crypto.derive(spec)
        rows = crypto.collusion_table(size, threshold, agreement=protection.agreement, colluders=protection.colluders)
    except (CommitteeTooWeak, CryptoError) as error:
        raise PlanInvalid(f"plan {plan.name!r}: protection for {banks} banks: {error}") from error
    if not protection.agreement and threshold < crypto.default_threshold(size):
        warnings.append(
            f"threshold {threshold} of {size} without agreement: a lying server could open two sums of one round"
        )
    if protection.smudging_bits < 40:
        warnings.append(f"smudging of {protection.smudging_bits} bits is below the 40 that are usual")
    bytes_per_value = parameters.residue_bytes * 8192 / parameters.values_per_chunk
    return PlanCheck(
        banks=banks, committee_size=size, threshold=threshold,
        bytes_per_value=bytes_per_value,
        error_units=parameters.error_limit / parameters.scale, smudging_bits=protection.smudging_bits,
        first_query=query.name, first_values=query.length, rounds_expected=query.rounds,
        # A round's last chunk is as long as its numbers are, and the check before them; each message has a header.
        bytes_per_bank=round(
            bytes_per_value * query.values + query.rounds * (crypto.HEADER_BYTES + parameters.residue_bytes)
        ),
        collusion=tuple(Collusion(who=row.who, learns=row.learns) for row in rows), settings=query.settings,
        warnings=tuple(warnings),
    )  # fmt: skip


def create_plan(s: Session, plan: Plan, *, by: str, now: float) -> PlanRow:
    """Keeps a plan; the same again gets the same.

    Raises:
        PlanNameTaken: another plan has the name.
    """
    digest = plan.digest()
    row = s.get(PlanRow, plan.name)
    if row is not None:
        if row.digest != digest:
            raise PlanNameTaken(
                f"plan {plan.name!r}: another plan has this name; plans never change, choose a new name, or remove the "
                "other with `consortium plan remove` if no training was started of it"
            )
        return row
    row = PlanRow(name=plan.name, digest=digest, json=plan.model_dump_json(), created_at=now, created_by=by)
    s.add(row)
    return row


def find_plan(s: Session, name: str, *, to_train: bool = False) -> Plan:
    """A plan by its name.

    Args:
        s: a session.
        name: the plan's.
        to_train: nobody removes it before this transaction ends.

    Raises:
        PlanMissing: there is none.
    """
    return Plan.model_validate_json(_row_of(s, name, lock={"read": True} if to_train else None).json)


def _row_of(s: Session, name: str, *, lock: ForUpdateParameter) -> PlanRow:
    row = s.get(PlanRow, name, with_for_update=lock)
    if row is None:
        raise PlanMissing(f"plan {name!r}: there is none; `consortium plan list` shows all")
    return row


def remove_plan(s: Session, name: str) -> PlanRow:
    """Removes a plan of which no training was ever started, so that its name is free.

    Raises:
        PlanMissing: there is none.
        PlanTrained: a training was.
    """
    row = _row_of(s, name, lock=True)
    training = s.scalar(select(Training.id).where(Training.plan_name == name).limit(1))
    if training is not None:
        raise PlanTrained(f"plan {name!r}: training {training} was started of it, so that it stays for the record")
    s.delete(row)
    return row


def list_plans(s: Session) -> list[PlanRow]:
    """All plans, newest first."""
    return list(s.scalars(select(PlanRow).order_by(PlanRow.created_at.desc(), PlanRow.name)))
