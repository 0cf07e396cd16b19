"""Addresses of released models."""

from __future__ import annotations

from sqlalchemy.orm import Session

from consortium.http.call import Call
from consortium.http.route import Access, Routes
from consortium.models import service
from consortium.models.card import ModelCard, card_of
from consortium.models.tables import ModelRow
from protocol.ids import DigestHex, Name, UUIDText
from protocol.statements import WireModel

routes = Routes("models")


class ModelView(WireModel):
    """A released model."""

    training: UUIDText
    name: Name
    digest: DigestHex
    released_at: float
    in_force: bool


class ModelList(WireModel):
    """All released models, newest first."""

    models: tuple[ModelView, ...]


def _view(row: ModelRow, *, current: bool) -> ModelView:
    return ModelView(
        training=row.training, name=row.name, digest=row.digest, released_at=row.released_at, in_force=current
    )


def _shown(s: Session, row: ModelRow) -> ModelView:
    return _view(row, current=service.in_force(s, row.name) == row.training)


@routes.add("GET", "/v1/models", access=Access.NODE_OR_VIEWER, response=ModelList)
def list_models(call: Call) -> ModelList:
    """Lists the released models."""
    with call.runtime.db.reading("models.list") as s:
        return ModelList(models=tuple(_view(row, current=current) for row, current in service.list_models(s)))


@routes.add("GET", "/v1/models/{model}", access=Access.NODE_OR_VIEWER, response=ModelView)
def show(call: Call) -> ModelView:
    """Shows a model: by training, by digest, or by name the one in force."""
    with call.runtime.db.reading("models.show") as s:
        return _shown(s, service.find_model(s, call.path["model"]))


@routes.add("GET", "/v1/models/{model}/card", access=Access.NODE_OR_VIEWER, response=ModelCard)
def card(call: Call) -> ModelCard:
    """The model's card: what it was made of, how good it is, how it was protected."""
    with call.runtime.db.reading("models.card") as s:
        row = service.find_model(s, call.path["model"])
        return card_of(s, row, call.runtime.blobs.get(row.blob))


@routes.add("GET", "/v1/models/{model}/content", access=Access.NODE_OR_VIEWER, binary_response=True)
def content(call: Call) -> bytes:
    """The model's canonical bytes, whose SHA-256 is its digest."""
    with call.runtime.db.reading("models.content") as s:
        blob = service.find_model(s, call.path["model"]).blob
    return call.runtime.blobs.get(blob)


@routes.add("POST", "/v1/models/{model}/promotion", access=Access.OPERATOR, response=ModelView)
def promote(call: Call) -> ModelView:
    """Puts a model in force under its name."""
    with call.runtime.act("models.promote") as (s, _, now):
        return _shown(s, service.promote(s, call.path["model"], by=call.actor, now=now))


@routes.add("POST", "/v1/models/{model}/rollback", access=Access.OPERATOR, response=ModelView)
def rollback(call: Call) -> ModelView:
    """Puts the model in force that was before the present one of this name."""
    with call.runtime.act("models.rollback") as (s, _, now):
        return _shown(s, service.rollback(s, call.path["model"], by=call.actor, now=now))
