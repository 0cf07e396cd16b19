"""Addresses of operators' tokens."""

from __future__ import annotations

from pydantic import Field

from consortium.access import service
from consortium.access.service import Role
from consortium.access.tables import AccessToken
from consortium.http.call import Call
from consortium.http.route import Access, Routes
from protocol.ids import Name, UUIDText
from protocol.statements import WireModel

routes = Routes("tokens")


class TokenRequest(WireModel):
    """The token to make."""

    name: Name
    role: Role
    lifetime_s: float | None = Field(default=None, gt=0, le=10 * 366 * 86400.0)


class TokenView(WireModel):
    """A token, without itself."""

    id: UUIDText
    name: Name
    role: Role
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None


class NewToken(WireModel):
    """A token, shown this once."""

    token: str
    made: TokenView


class TokenList(WireModel):
    """All tokens."""

    tokens: tuple[TokenView, ...]


class Caller(WireModel):
    """Who calls."""

    name: str
    role: Role
    consortium: Name


def view(row: AccessToken) -> TokenView:
    """A token's row without its digest."""
    return TokenView(
        id=row.id, name=row.name, role=Role(row.role), created_at=row.created_at, created_by=row.created_by,
        expires_at=row.expires_at, revoked_at=row.revoked_at,
    )  # fmt: skip


@routes.add("GET", "/v1/me", access=Access.VIEWER, response=Caller)
def me(call: Call) -> Caller:
    """Says who calls, with which role."""
    assert call.operator is not None
    return Caller(name=call.operator.name, role=Role(call.operator.role), consortium=call.settings.name)


@routes.add("GET", "/v1/tokens", access=Access.ADMIN, response=TokenList)
def list_tokens(call: Call) -> TokenList:
    """Lists the operators' tokens."""
    with call.runtime.db.reading("access.list") as s:
        return TokenList(tokens=tuple(view(row) for row in service.list_tokens(s)))


@routes.add("POST", "/v1/tokens", access=Access.ADMIN, request=TokenRequest, response=NewToken, status=201)
def create(call: Call) -> NewToken:
    """Makes an operator's token."""
    with call.runtime.act("access.create") as (s, _, now):
        row, token = service.create_token(
            s, name=call.body.name, role=call.body.role, by=call.actor, now=now, lifetime_s=call.body.lifetime_s
        )
    return NewToken(token=token, made=view(row))


@routes.add("DELETE", "/v1/tokens/{token}", access=Access.ADMIN, response=TokenView)
def revoke(call: Call) -> TokenView:
    """Revokes a token, by its id, or by its name if only one of this name is in use: it is refused from now on."""
    with call.runtime.act("access.revoke") as (s, _, now):
        return view(service.revoke_token(s, call.path["token"], now=now))
