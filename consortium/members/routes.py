"""Addresses of nodes and their enrolment."""

from __future__ import annotations

import structlog
from pydantic import Field

from consortium.http.call import Call
from consortium.http.route import Access, Routes
from consortium.members import service
from consortium.members.tables import EnrolmentToken, NodeRow
from protocol.ids import Name, UUIDText
from protocol.messages import EnrolmentReply, EnrolmentRequest
from protocol.statements import WireModel
from protocol.version import PROTOCOL_VERSION

routes = Routes("nodes")
log = structlog.get_logger("consortium.members")
#: Threads for those who watch and ask, beside the banks'.
_OPERATORS_THREADS = 4


class NodeView(WireModel):
    """A node, as operators see it. Times are seconds since the epoch."""

    id: UUIDText
    name: Name
    signing_key: str
    enrolled_at: float
    seen_at: float | None
    removed_at: float | None


class NodeList(WireModel):
    """All nodes."""

    nodes: tuple[NodeView, ...]


class InvitationRequest(WireModel):
    """Whom to invite."""

    name: Name
    lifetime_s: float = Field(default=7 * 86400.0, gt=0, le=90 * 86400.0)


class OpenInvitation(WireModel):
    """An invitation that was not used yet, without its token."""

    name: Name
    created_at: float
    created_by: str
    expires_at: float


class InvitationList(WireModel):
    """All invitations that were neither used nor have expired, by name."""

    invitations: tuple[OpenInvitation, ...]


class EnrolmentInvitation(WireModel):
    """A one-time token, shown this once.

    Attributes:
        also_open: earlier invitations of this name that hold as well: whichever is used first has the name.
    """

    name: Name
    token: str
    expires_at: float
    also_open: tuple[OpenInvitation, ...]


def _warn_of_few_threads(threads: int, banks: int) -> None:
    """Every bank's long poll holds a thread, and its next request another; what is left are the operators'."""
    wanted = 2 * banks + _OPERATORS_THREADS
    if threads < wanted:
        log.warning("server:few_threads", threads=threads, banks=banks, wanted=wanted, setting="CONSORTIUM_THREADS")


def view(row: NodeRow) -> NodeView:
    """A node's row as operators see it."""
    return NodeView(
        id=row.id, name=row.name, signing_key=row.signing_key, enrolled_at=row.enrolled_at, seen_at=row.seen_at,
        removed_at=row.removed_at,
    )  # fmt: skip


def _open(rows: list[EnrolmentToken]) -> tuple[OpenInvitation, ...]:
    return tuple(
        OpenInvitation(
            name=row.name, created_at=row.created_at, created_by=row.created_by, expires_at=row.expires_at
        )
        for row in rows
    )  # fmt: skip


@routes.add("POST", "/v1/nodes", access=Access.PUBLIC, request=EnrolmentRequest, response=EnrolmentReply, status=201)
def enrol(call: Call) -> EnrolmentReply:
    """Enrols a node with its one-time token."""
    with call.runtime.act("members.enrol") as (s, _, now):
        row = service.enrol(s, call.body, now=now)
        banks = len(service.active_nodes(s))
    _warn_of_few_threads(call.settings.threads, banks)
    return EnrolmentReply(node=row.id, consortium=call.settings.name, protocol=PROTOCOL_VERSION)


@routes.add("GET", "/v1/nodes", access=Access.VIEWER, response=NodeList)
def list_nodes(call: Call) -> NodeList:
    """Lists the nodes."""
    with call.runtime.db.reading("members.list") as s:
        return NodeList(nodes=tuple(view(row) for row in service.list_nodes(s)))


@routes.add("GET", "/v1/nodes/invitations", access=Access.VIEWER, response=InvitationList)
def list_invitations(call: Call) -> InvitationList:
    """Lists the invitations that were neither used nor have expired."""
    with call.runtime.db.reading("members.invitations") as s:
        return InvitationList(invitations=_open(service.open_invitations(s, now=call.runtime.clock.now())))


@routes.add(
    "POST", "/v1/nodes/invitations", access=Access.OPERATOR, request=InvitationRequest, response=EnrolmentInvitation,
    status=201,
)  # fmt: skip
def invite(call: Call) -> EnrolmentInvitation:
    """Makes a one-time token with which a bank enrols its node."""
    with call.runtime.act("members.invite") as (s, _, now):
        others = [row for row in service.open_invitations(s, now=now) if row.name == call.body.name]
        row, token = service.invite(s, name=call.body.name, by=call.actor, lifetime_s=call.body.lifetime_s, now=now)
        return EnrolmentInvitation(name=row.name, token=token, expires_at=row.expires_at, also_open=_open(others))


@routes.add("DELETE", "/v1/nodes/invitations/{node}", access=Access.OPERATOR, response=InvitationList)
def take_back(call: Call) -> InvitationList:
    """Takes back the open invitations of a name; says which they were."""
    with call.runtime.act("members.take_back") as (s, _, now):
        return InvitationList(invitations=_open(service.take_back(s, call.path["node"], now=now)))


@routes.add("GET", "/v1/nodes/{node}", access=Access.VIEWER, response=NodeView)
def show(call: Call) -> NodeView:
    """Shows a node, by id or by name."""
    with call.runtime.db.reading("members.show") as s:
        return view(service.find_node(s, call.path["node"]))


@routes.add("DELETE", "/v1/nodes/{node}", access=Access.ADMIN, response=NodeView)
def remove(call: Call) -> NodeView:
    """Removes a node: its requests are refused from now on."""
    with call.runtime.act("members.remove") as (s, _, now):
        return view(service.remove_node(s, call.path["node"], now=now))
