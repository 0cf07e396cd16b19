"""A model's card (Mitchell et al., "Model cards for model reporting", 2019), from the record of its training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consortium.models.tables import ModelRow
from consortium.rounds.tables import Round
from consortium.trainings.tables import Training, TrainingMember
from learning.stability import Verdict, verdict
from learning.table_volumes import table_volumes
from protocol.ids import DigestHex, Name, UUIDText
from protocol.plan import Plan, ProtectionLevel
from protocol.statements import WireModel

NOT_ENCRYPTED = "TRAINED WITHOUT ENCRYPTION: every contribution was in the clear for the service"


class CardBank(WireModel):
    """A bank that took part."""

    node: UUIDText
    name: Name
    confirmed: bool


class CardDrift(WireModel):
    """How far a feature's values have moved from the reference rows to the current ones.

    Attributes:
        index: population stability index, see `learning.drift`.
        verdict: how it is usually read.
    """

    feature: str
    index: float
    verdict: Verdict


class ModelCard(WireModel):
    """What a model was made of, how good it is, and how it was protected.

    Attributes:
        warning: empty, or what must be read first.
        in_force: whether it is the one that the banks' nodes score with.
        evaluation: metrics and curves over all banks' validation and test rows, from securely summed histograms.
        settings: of the algorithm, without its inputs; defaults included where the model tells them.
        volumes: rows and frauds over all banks; of an entity table transactions and confirmed frauds by entity column.
        drift: of a report of drift, what has moved most first.
        fewest_contributors: the smallest contributor set of any round.
        software: versions that released it.
    """

    training: UUIDText
    name: Name
    digest: DigestHex
    sha256: DigestHex
    released_at: float
    in_force: bool
    warning: str
    plan: Plan
    plan_digest: DigestHex
    history: DigestHex | None
    banks: tuple[CardBank, ...]
    rounds: int
    fewest_contributors: int
    bytes_received: int
    started_at: float | None
    ended_at: float | None
    settings: dict[str, Any]
    volumes: dict[str, Any]
    drift: tuple[CardDrift, ...]
    evaluation: dict[str, Any]
    privacy: dict[str, Any]
    software: dict[str, str]


def card_of(s: Session, row: ModelRow, *, in_force: bool) -> Callable[[bytes], ModelCard]:
    """Reads the training's record.

    Args:
        s: inside a transaction.
        row: the model.
        in_force: whether it is.

    Returns:
        What makes the card of the model's bytes, which are fetched once the database is let go. They are JSON, with
        `evaluation`, `volumes` and `privacy` where the algorithm has them.
    """
    training = s.get_one(Training, row.training)
    plan = training.plan
    members = s.scalars(
        select(TrainingMember)
        .where(TrainingMember.training == training.id, TrainingMember.on_roster)
        .order_by(TrainingMember.name)
    )
    rounds = list(s.scalars(select(Round.contributors).where(Round.training == training.id, Round.applied_at > 0)))
    received = s.scalar(select(func.sum(Round.bytes_in)).where(Round.training == training.id)) or 0
    facts = {
        "training": training.id, "name": row.name, "digest": row.digest, "sha256": row.sha256,
        "released_at": row.released_at, "in_force": in_force,
        "warning": NOT_ENCRYPTED if plan.protection.level is ProtectionLevel.NONE else "",
        "plan": plan, "plan_digest": training.plan_digest, "history": training.history,
        "banks": tuple(
            CardBank(node=member.node, name=member.name, confirmed=member.model_digest == row.digest)
            for member in members
        ),
        "rounds": len(rounds), "fewest_contributors": min((len(banks or ()) for banks in rounds), default=0),
        "bytes_received": int(received), "started_at": training.started_at, "ended_at": training.ended_at,
        "software": row.software,
    }  # fmt: skip

    def with_content(content: bytes) -> ModelCard:
        document = json.loads(content)
        told = {name: document.get(name, {}) for name in ("volumes", "evaluation", "privacy")}
        if document.get("kind") == "risk_table":
            told["volumes"] = {"entities": table_volumes(document)}
        told["drift"] = ()
        if document.get("kind") == "drift":
            told |= of_drift(document)
        given = {name: value for name, value in plan.learning.items() if name != "inputs"}
        return ModelCard.model_validate(facts | told | {"settings": document.get("settings", given)})

    return with_content


def of_drift(document: Mapping[str, Any]) -> dict[str, Any]:
    """The card's part of a report's document (`learning.drift.DriftReport.to_bytes`)."""
    parts = zip(("reference", "current"), document["rows"], document["frauds"], strict=True)
    volumes = {
        f"{part}_{what}": count for part, rows, frauds in parts for what, count in (("rows", rows), ("frauds", frauds))
    }
    moved = sorted(document["features"], key=lambda feature: -feature["index"])
    drift = tuple(CardDrift(feature=f["feature"], index=f["index"], verdict=verdict(f["index"])) for f in moved)
    return {"volumes": volumes, "drift": drift}
