"""Inviting, enrolling, listing and removing nodes."""

from __future__ import annotations

import secrets
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from consortium.members.errors import EnrolmentRefused, NodeMissing, NodeNameTaken
from consortium.members.tables import EnrolmentToken, NodeRow
from protocol.ids import sha256_hex
from protocol.messages import EnrolmentRequest
from protocol.signing import key_from_text, verify_statement
from protocol.statements import Enrolment

TOKEN_PREFIX = "fce_"  # noqa: S105  # a prefix, not a secret
#: `seen_at` is for people; it is written no more often than this.
SEEN_EVERY_S = 30.0


def invite(s: Session, *, name: str, by: str, lifetime_s: float, now: float) -> tuple[EnrolmentToken, str]:
    """Makes a one-time token for a bank of this name.

    Returns:
        Its row, and the token itself, which is to be shown once.

    Raises:
        NodeNameTaken: a node has this name, and was not removed.
    """
    if s.scalar(select(NodeRow.id).where(NodeRow.name == name, NodeRow.removed_at.is_(None))) is not None:
        raise NodeNameTaken(
            f"node {name!r}: a node of this name is enrolled; choose another name, or remove that one first "
            f"(`consortium node remove {name}`)"
        )
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = EnrolmentToken(
        id=str(uuid.uuid4()), name=name, digest=sha256_hex(token.encode()), created_at=now, created_by=by,
        expires_at=now + lifetime_s, node=None,
    )  # fmt: skip
    s.add(row)
    return row, token


def open_invitations(s: Session, *, now: float) -> list[EnrolmentToken]:
    """The invitations that were neither used nor have expired, by name, oldest first."""
    still = (EnrolmentToken.node.is_(None)) & (EnrolmentToken.expires_at > now)
    return list(s.scalars(select(EnrolmentToken).where(still).order_by(EnrolmentToken.name, EnrolmentToken.created_at)))


def take_back(s: Session, name: str, *, now: float) -> list[EnrolmentToken]:
    """Takes back the open invitations of a name.

    Raises:
        NodeMissing: there is none.
    """
    rows = [row for row in open_invitations(s, now=now) if row.name == name]
    if not rows:
        raise NodeMissing(f"invitation of {name}: none is open; `consortium node invitations` shows those that are")
    for row in rows:
        row.expires_at = now
    return rows


def enrol(s: Session, request: EnrolmentRequest, *, now: float) -> NodeRow:
    """Enrols a node; the same application again gets the same node.

    1. the token was made here, for this name, and has not expired
    2. the statement names the token, and verifies under the key that it carries: the node holds it
    3. the token has not been used by another key

    Raises:
        EnrolmentRefused: one of these does not hold.
        NodeNameTaken: a node with another key has the name, or another node has the key.
    """
    where = "enrolment"
    # (1)
    digest = sha256_hex(request.token.encode())
    token = s.scalar(select(EnrolmentToken).where(EnrolmentToken.digest == digest).with_for_update())
    if token is None:
        raise EnrolmentRefused(f"{where}: expected a token made by `consortium node invite`, got another")
    # (2)
    applied = request.enrolment.expect(Enrolment)
    enrolment = verify_statement(request.enrolment, Enrolment, key_from_text(applied.signing_key))
    if (enrolment.token_digest, enrolment.name) != (digest, token.name):
        raise EnrolmentRefused(f"{where}: expected an application for {token.name!r} with this token, got another")
    # (3)
    if token.node is not None:
        node = s.get_one(NodeRow, token.node)
        if node.signing_key != enrolment.signing_key:
            raise EnrolmentRefused(f"{where}: expected an unused token, got one that {token.name!r} has used")
        return node
    if token.expires_at <= now:
        raise EnrolmentRefused(f"{where}: the token has expired or was taken back; ask the operator for a new one")
    named = (NodeRow.name == token.name) & NodeRow.removed_at.is_(None)
    # A removed node's key stays refused: it may be in other hands.
    taken = s.scalar(select(NodeRow.id).where(named | (NodeRow.signing_key == enrolment.signing_key)))
    if taken is not None:
        raise NodeNameTaken(
            f"node {token.name!r}: a node of this name or with this key is enrolled; a removed node comes back with a "
            "new home folder, and so with new keys"
        )
    node = NodeRow(
        id=str(uuid.uuid4()), name=token.name, signing_key=enrolment.signing_key, sealing_key=enrolment.sealing_key,
        enrolment=request.enrolment.model_dump_json(), enrolled_at=now, seen_at=now, removed_at=None,
    )  # fmt: skip
    s.add(node)
    token.node = node.id
    return node


def find_node(s: Session, node_id: str) -> NodeRow:
    """A node by its id or its name: of a name the one that was not removed, or else the last that was.

    Raises:
        NodeMissing: there is none.
    """
    row = s.scalar(
        select(NodeRow)
        .where((NodeRow.id == node_id) | (NodeRow.name == node_id))
        .order_by(NodeRow.removed_at.is_not(None), NodeRow.removed_at.desc())
        .limit(1)
    )
    if row is None:
        raise NodeMissing(f"node {node_id}: there is none; `consortium node list` shows all")
    return row


def list_nodes(s: Session) -> list[NodeRow]:
    """All nodes, by name; removed ones too, in the order in which they came."""
    return list(s.scalars(select(NodeRow).order_by(NodeRow.name, NodeRow.enrolled_at)))


def active_nodes(s: Session) -> list[NodeRow]:
    """The nodes that can be invited to a training, by id."""
    return list(s.scalars(select(NodeRow).where(NodeRow.removed_at.is_(None)).order_by(NodeRow.id)))


def remove_node(s: Session, node_id: str, *, now: float) -> NodeRow:
    """Removes a node: its requests are refused, and trainings under way go on without it; again does nothing.

    Raises:
        NodeMissing: there is none.
    """
    row = find_node(s, node_id)
    row.removed_at = row.removed_at or now
    return row
