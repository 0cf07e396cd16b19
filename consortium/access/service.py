"""Operators' tokens: made, checked, revoked."""

from __future__ import annotations

import secrets
import uuid
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.access.errors import TokenAmbiguous, TokenNotThere
from consortium.access.tables import AccessToken
from protocol.ids import sha256_hex

#: So that a token is recognised by scanners for leaked secrets, and by people.
TOKEN_PREFIX = "fco_"  # noqa: S105  # a prefix, not a secret
#: Characters of an id that name a token; with fewer a typing error might name one.
_LEAST_PREFIX = 6


class Role(StrEnum):
    """What a token may do; each role may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, wanted: Role) -> bool:
        """Whether this role may do what the wanted one may."""
        order = list(Role)
        return order.index(self) >= order.index(wanted)


def create_token(
    s: Session, *, name: str, role: Role, by: str, now: float, lifetime_s: float | None = None
) -> tuple[AccessToken, str]:
    """Makes a token.

    Args:
        s: inside a transaction.
        name: what it is for.
        role: what it may do.
        by: who makes it.
        now: seconds since the epoch.
        lifetime_s: until it expires; None for ever.

    Returns:
        Its row, and the token itself, which is to be shown once.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = AccessToken(
        id=str(uuid.uuid4()), name=name, role=role.value, digest=sha256_hex(token.encode()), created_at=now,
        created_by=by, expires_at=None if lifetime_s is None else now + lifetime_s, revoked_at=None,
    )  # fmt: skip
    s.add(row)
    return row, token


def find_token(s: Session, token: str, *, now: float) -> AccessToken | None:
    """The row of a token that holds now."""
    row = s.scalar(select(AccessToken).where(AccessToken.digest == sha256_hex(token.encode())))
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return row


def list_tokens(s: Session) -> list[AccessToken]:
    """All tokens, oldest first."""
    return list(s.scalars(select(AccessToken).order_by(AccessToken.created_at)))


def tokens_in_use(s: Session, name: str, *, now: float) -> list[AccessToken]:
    """The tokens of a name that hold now, oldest first."""
    return [
        row
        for row in list_tokens(s)
        if row.name == name and row.revoked_at is None and (row.expires_at is None or row.expires_at > now)
    ]


def revoke_token(s: Session, token: str, *, now: float) -> AccessToken:
    """Revokes a token, by its id or the id's first characters, or by its name if one of this name is in use; again, by
    its id, does nothing.

    Raises:
        TokenNotThere: there is none with this id, and none of this name in use.
        TokenAmbiguous: several of this name are in use.
    """
    begin = [row for row in list_tokens(s) if row.id.startswith(token)] if len(token) >= _LEAST_PREFIX else []
    row = _only_one(token, begin or tokens_in_use(s, token, now=now))
    row.revoked_at = row.revoked_at or now
    return row


def _only_one(name: str, rows: list[AccessToken]) -> AccessToken:
    if not rows:
        raise TokenNotThere(
            f"token {name}: expected the name of a token in use, or {_LEAST_PREFIX} or more characters of an id, got "
            "those of none; `consortium token list` shows all"
        )
    if len(rows) > 1:
        ids = ", ".join(f"{row.id} ({row.role})" for row in rows)
        raise TokenAmbiguous(f"token {name}: that means {len(rows)} of them; give the id of one: {ids}")
    return rows[0]
