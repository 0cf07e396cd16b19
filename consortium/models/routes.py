"""Addresses of released models."""

from __future__ import annotations

from collections.abc import Callable

from consortium.http.call import Call
from consortium.http.route import Access, Routes
from consortium.models import service
from consortium.models.card import ModelCard, card_of
from consortium.models.tables import ModelRow
from protocol.ids import DigestHex, Name, UUIDText
from protocol.statements import WireModel

routes = Routes("models")


class ModelView(WireModel):
    """A released model.

    Attributes:
        digest: what the banks have signed: the SHA-256 of a model's bytes, or of a risk table's counts.
        sha256: of the bytes that `…/content` sends.
        in_force: whether it is the one that the banks' nodes score with.
    """

    training: UUIDText
    name: Name
    digest: DigestHex
    sha256: DigestHex
    released_at: float
    in_force: bool


class ModelList(WireModel):
    """All released models, newest first."""

    models: tuple[ModelView, ...]


def _view(row: ModelRow, *, current: bool) -> ModelView:
    return ModelView(
        training=row.training, name=row.name, digest=row.digest, sha256=row.sha256, released_at=row.released_at,
        in_force=current,
    )  # fmt: skip


@routes.add("GET", "/v1/models", access=Access.NODE_OR_VIEWER, response=ModelList)
def list_models(call: Call) -> ModelList:
    """Lists the released models."""
    with call.runtime.db.reading("models.list") as s:
        return ModelList(models=tuple(_view(row, current=current) for row, current in service.list_models(s)))


@routes.add("GET", "/v1/models/{model}", access=Access.NODE_OR_VIEWER, response=ModelView)
def show(call: Call) -> ModelView:
    """Shows a model: by training, by digest, or by name the one in force."""
    with call.runtime.db.reading("models.show") as s:
        row = service.find_model(s, call.path["model"])
        return _view(row, current=service.in_force(s, row.name) == row.training)


@routes.add("GET", "/v1/models/{model}/card", access=Access.NODE_OR_VIEWER, response=ModelCard)
def card(call: Call) -> ModelCard:
    """A model's card: by training, by digest, or by name the one in force, or else the newest."""
    with call.runtime.db.reading("models.card") as s:
        row, current = service.find_for_card(s, call.path["model"])
        with_content = card_of(s, row, in_force=current)
    return with_content(call.runtime.blobs.get(row.blob))


@routes.add("GET", "/v1/models/{model}/content", access=Access.NODE_OR_VIEWER, binary_response=True)
def content(call: Call) -> bytes:
    """The model's bytes; their SHA-256 is `sha256` of the model."""
    with call.runtime.db.reading("models.content") as s:
        blob = service.find_model(s, call.path["model"]).blob
    return call.runtime.blobs.get(blob)


@routes.add("POST", "/v1/models/{model}/promotion", access=Access.OPERATOR, response=ModelView)
def promote(call: Call) -> ModelView:
    """Puts a model, by training or by digest, in force under its name."""
    return _act(call, service.promote, in_force=True)


@routes.add("POST", "/v1/models/{model}/rollback", access=Access.OPERATOR, response=ModelView)
def rollback(call: Call) -> ModelView:
    """Withdraws the model in force under a name, and puts the one back that was in force before it."""
    return _act(call, service.rollback, in_force=True)


@routes.add("POST", "/v1/models/{model}/withdrawal", access=Access.OPERATOR, response=ModelView)
def withdraw(call: Call) -> ModelView:
    """Leaves no model in force under a name, so that the banks' nodes score with none of it, until one is promoted."""
    return _act(call, service.withdraw, in_force=False)


def _act(call: Call, act: Callable[..., ModelRow], *, in_force: bool) -> ModelView:
    """Acts upon a model or a name; only once that is written do the banks' next answers say it."""
    with call.runtime.act(f"models.{act.__name__}") as (s, _, now):
        view = _view(act(s, call.path["model"], by=call.actor, now=now), current=in_force)
    call.runtime.in_force.forget()
    return view
