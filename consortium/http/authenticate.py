"""Who makes a request: a node by its signature, an operator by a token."""

from __future__ import annotations

from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Request
from sqlalchemy.orm import Session

from consortium.access.replay import ReplayGuard
from consortium.access.service import TOKEN_PREFIX, Role, find_token
from consortium.http.call import Operator
from consortium.http.errors import AccessDenied, NotAuthenticated, TokenReplayed, TokenStale
from consortium.http.route import Access
from consortium.members.service import SEEN_EVERY_S
from consortium.members.tables import NodeRow
from consortium.runtime import Runtime
from protocol.request_auth import RequestClaims, read_issuer, verify_request
from protocol.signing import key_from_text

_ROLES = {Access.VIEWER: Role.VIEWER, Access.OPERATOR: Role.OPERATOR, Access.ADMIN: Role.ADMIN}
_LEEWAY_S = 2.0
#: A node that was removed is refused after so many seconds at the latest.
_KEEP_S = 2.0


class Authenticator:
    """Checks the bearer token of every request.

    Args:
        runtime: the database and the clock.
        guard: remembers signed requests.
    """

    def __init__(self, runtime: Runtime, guard: ReplayGuard) -> None:
        self._runtime, self._guard = runtime, guard
        self._seen: dict[str, float] = {}
        self._nodes: dict[str, tuple[float, NodeRow]] = {}

    def authenticate(self, request: Request, access: Access) -> tuple[RequestClaims | None, Operator | None]:
        """The node's claims, or the operator.

        Raises:
            NotAuthenticated, TokenStale, TokenReplayed, AccessDenied: as they say.
        """
        if access is Access.PUBLIC:
            return None, None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("Authorization: expected a bearer token, got none")
        if token.startswith(TOKEN_PREFIX):
            return None, self._operator(token, access)
        if token.count(".") != 2:
            raise NotAuthenticated(
                f"Authorization: unknown token; expected an operator's, which begins {TOKEN_PREFIX}, or a node's "
                "signature on this request"
            )
        claims = self._node(request, token)
        if access not in {Access.NODE, Access.NODE_OR_VIEWER}:
            raise AccessDenied(f"expected an operator's token of role {access}, got a node's signature")
        return claims, None

    def _operator(self, token: str, access: Access) -> Operator:
        with self._runtime.db.reading("access.find") as s:
            row = find_token(s, token, now=self._runtime.clock.now())
        if row is None:
            raise NotAuthenticated("Authorization: expected an operator's token, got one unknown, expired or revoked")
        if access is Access.NODE:
            raise AccessDenied("expected a node's signature, got an operator's token")
        wanted = _ROLES.get(access, Role.VIEWER)
        if not Role(row.role).includes(wanted):
            raise AccessDenied(f"expected a token of role {wanted}, got one of role {row.role}")
        return Operator(row.id, row.name, row.role)

    def _node(self, request: Request, token: str) -> RequestClaims:
        target = request.full_path.removesuffix("?") if request.query_string else request.path
        try:
            node = self._find(read_issuer(token))
            claims = verify_request(token, _key(node.signing_key), method=request.method, target=target)
        except jwt.ExpiredSignatureError as error:
            raise TokenStale(
                "Authorization: the signed request is older than a minute; sign it again, and if that does not help "
                "set the clock of the node's machine, or the service's: they differ"
            ) from error
        except jwt.ImmatureSignatureError as error:
            raise TokenStale(
                "Authorization: the request was signed in the future; sign it again once the clock of the node's "
                "machine is set, or the service's: they differ"
            ) from error
        except jwt.InvalidTokenError as error:
            raise NotAuthenticated(
                f"Authorization: expected a node's signature on this request, got: {error}"
            ) from error
        if claims.iat < self._guard.not_before - _LEEWAY_S:
            raise TokenStale("Authorization: the request was signed before the service was started; sign it again")
        if not self._guard.is_new(claims.jti):
            raise TokenReplayed("Authorization: this signed request was taken before; sign it again")
        return claims

    def _find(self, node_id: str) -> NodeRow:
        now = self._runtime.clock.now()
        kept = self._nodes.get(node_id)
        if kept is not None and now < kept[0]:
            return kept[1]
        with self._runtime.db.reading("access.node") as s:
            node = s.get(NodeRow, node_id)
        if node is None:
            raise NotAuthenticated("Authorization: expected the signature of an enrolled node, got another's")
        if node.removed_at is not None:
            raise AccessDenied(f"node {node.name!r} was removed by the operator")
        if now - self._seen.get(node_id, 0.0) > SEEN_EVERY_S:
            self._seen[node_id] = now
            with self._runtime.db.transaction("access.seen") as s:
                _touch(s, node_id, now)
        self._nodes[node_id] = (now + _KEEP_S, node)
        return node


def _touch(s: Session, node_id: str, now: float) -> None:
    row = s.get(NodeRow, node_id)
    if row is not None:
        row.seen_at = now


@lru_cache(maxsize=4096)
def _key(text: str) -> Ed25519PublicKey:
    return key_from_text(text)
