"""Opens a round's sum with the answers that are there: with the first cover, or, once that is doubted, with every cover
that leaves one of its members out (`consortium.rounds.assignments`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import JSON, BindParameter, String, bindparam, cast, literal, null, select, true, union_all
from sqlalchemy.orm import Session

import crypto
from consortium.blobs.port import BlobStore
from consortium.db import Database
from consortium.prepared import Prepared
from consortium.rounds.assignments import is_counted, suspects_of
from consortium.rounds.protection import RoundBodies, bodies_for
from consortium.rounds.tables import Assignment, Contribution, Round, SumRange
from consortium.stored_body import StoredBody
from consortium.trainings.errors import StoredShareMalformed, SumsDiffer
from consortium.trainings.moves import terms_of
from consortium.trainings.tables import Training
from crypto.errors import CheckFailed
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.states import RoundState, TrainingState


@dataclass(frozen=True, slots=True)
class Share:
    """An answered assignment; `stands_in` if it was asked in another's stead."""

    number: int
    node: str
    stands_in: bool
    stored: StoredBody


@dataclass(frozen=True, slots=True)
class Cover:
    """Shares that have every piece once; `without` is the member that is left out, None for the first cover."""

    without: str | None
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Closing:
    """What is read before a round is opened.

    Attributes:
        query, history: digest of the round's query, and the chain's value before it.
        ranges: first chunk, count, and the sum over them if it was made before.
        sources: the contributions, for a small round, whose sum was not.
        covers: what to open it with; all that are complete.
        untried: members of the first cover without whom there is no cover, because others are away.
    """

    plan: Plan
    roster: Roster
    query: str
    history: str
    bodies: RoundBodies
    contributors: tuple[str, ...]
    ranges: tuple[tuple[int, int, StoredBody | None], ...]
    sources: tuple[StoredBody, ...]
    covers: tuple[Cover, ...]
    untried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of it.

    Attributes:
        total: int64, the opened sum; None if no cover opens.
        without: whom the covers that were tried leave out.
        suspects: the members of whom one has answered wrongly; none unless the first cover was doubted.
        why: why a cover did not open.
    """

    total: NDArray[np.int64] | None
    without: tuple[str | None, ...]
    suspects: tuple[str, ...] = ()
    why: str = ""


class _Part(NamedTuple):
    """A contribution, or what a committee member was asked for with what it has answered."""

    kind: str
    number: int
    node: str
    instead_of: str | None
    pieces: list[int]
    state: str
    inline: bytes | None
    blob: str | None


# Built once: to build a statement costs about as much as to run it.
_TRAINING: BindParameter[str] = bindparam("training")
_INDEX: BindParameter[int] = bindparam("round")
_RANGES = (
    select(SumRange.first_chunk, SumRange.chunk_count, SumRange.blob)
    .where(SumRange.training == _TRAINING, SumRange.round == _INDEX)
    .order_by(SumRange.first_chunk)
)
_BODIES = (
    select(Contribution.inline, Contribution.blob)
    .where(
        Contribution.training == _TRAINING,
        Contribution.round == _INDEX,
        Contribution.node.in_(bindparam("nodes", expanding=True)),
    )
    .order_by(Contribution.node)
)


def _closing_statement() -> Any:
    """All that a round is opened with, but for sums made before: the round beside every part of it."""
    asked, sent = Assignment, Contribution
    parts = union_all(
        select(
            *(literal("share").label("kind"), asked.number, asked.node, asked.instead_of, asked.pieces, asked.state),
            *(asked.inline, asked.blob),
        ).where(asked.training == _TRAINING, asked.round == _INDEX),
        select(
            *(literal("contribution"), literal(0), sent.node, cast(null(), String), cast(null(), JSON), sent.state),
            *(sent.inline, sent.blob),
        ).where(sent.training == _TRAINING, sent.round == _INDEX),
    ).subquery("parts")
    return (
        select(
            *(Training.state, Training.plan_digest, Training.roster_digest),
            *(Round.state.label("round_state"), Round.ranges, Round.doubted, Round.contributors),
            *(Round.query_digest, Round.history, Round.query_name, Round.length, Round.bound, Round.resolution),
            *(column.label(f"part_{column.name}") for column in parts.c),
        )
        .select_from(Training)
        .join(Round, Round.training == Training.id)
        .outerjoin(parts, true())
        .where(Training.id == _TRAINING, Round.index == _INDEX)
        .order_by(parts.c.kind, parts.c.number, parts.c.node)
    )


_CLOSING = Prepared(_closing_statement())


def find_closing(db: Database, training_id: str, index: int) -> Closing | None:
    """What a round is opened with; None while something is missing, or once it is over."""
    key = {"training": training_id, "round": index}
    with db.looking() as c:
        found = _CLOSING.rows(c, key)
    if not found:
        return None
    row = found[0]
    if row.round_state != RoundState.DECRYPTING.value or TrainingState(row.state).ended:
        return None
    ranges = () if row.ranges == 1 else _ranges(db, key)  # a single one is summed by the task that opens it
    plan, roster = terms_of(db, training_id, row.plan_digest, row.roster_digest)
    bodies = bodies_for(training_id, plan, roster, row, index)
    parts = [_Part(*one[-len(_Part._fields) :]) for one in found if one.part_kind is not None]
    asked = [part for part in parts if part.kind == "share"]
    encrypted = bodies.round_id is not None
    covers = _covers(asked, _piece_count(bodies), doubted=row.doubted) if encrypted else (Cover(None, ()),)
    if not covers or any(stored is None for _, _, stored in ranges):
        return None
    suspects = suspects_of(asked) if row.doubted else set()
    contributors = tuple(row.contributors or ())
    sent = (part for part in parts if part.kind == "contribution" and part.node in contributors)
    return Closing(
        plan=plan,
        roster=roster,
        query=row.query_digest,
        history=row.history,
        bodies=bodies,
        contributors=contributors,
        ranges=ranges or ((0, bodies.chunks, None),),
        sources=() if ranges else tuple(StoredBody(part.inline, part.blob) for part in sent),
        covers=covers,
        untried=tuple(sorted(suspects - {cover.without for cover in covers})),
    )


def _ranges(db: Database, key: Mapping[str, object]) -> tuple[tuple[int, int, StoredBody | None], ...]:
    with db.looking() as c:
        parts = c.execute(_RANGES, key).all()
    return tuple((first, count, None if blob is None else StoredBody(None, blob)) for first, count, blob in parts)


def contribution_bodies(s: Session, row: Round) -> list[StoredBody]:
    """The bodies of the fixed contributor set."""
    key = {"training": row.training, "round": row.index, "nodes": row.contributors or []}
    return [StoredBody(inline, blob) for inline, blob in s.execute(_BODIES, key)]


def _piece_count(bodies: RoundBodies) -> int:
    return bodies.round_id.parameters.pieces if bodies.round_id is not None else 0


def _covers(asked: Sequence[_Part], pieces: int, *, doubted: bool) -> tuple[Cover, ...]:
    first = [part for part in asked if is_counted(part)]
    candidates: dict[str | None, list[_Part]]
    if not doubted:
        candidates = {None: first}
    elif any(part.state == "open" for part in asked):
        return ()  # those who can be heard are heard before anyone is judged
    else:
        candidates = {
            suspect: [part for part in first if part.node != suspect]
            + [part for part in asked if part.instead_of == suspect and part.state == "answered"]
            for suspect in sorted(suspects_of(asked))
        }
    return tuple(
        Cover(without, tuple(map(_share, answers)))
        for without, answers in candidates.items()
        if sorted(piece for part in answers for piece in part.pieces) == list(range(pieces))
    )


def _share(answer: _Part) -> Share:
    return Share(answer.number, answer.node, answer.instead_of is not None, StoredBody(answer.inline, answer.blob))


def open_sum(blobs: BlobStore, closing: Closing) -> Opened:
    """Opens the sum with every cover there is.

    Raises:
        StoredShareMalformed: a share has residues that are none, or another body than its header names.
        SumsDiffer: two covers open, to different sums: a member has lied so that its error cannot be told from a sum.
    """
    covers, totals, why = [], [], ""
    for cover in closing.covers:
        try:
            totals.append(_open(blobs, closing, cover))
            covers.append(cover)
        except CheckFailed as error:
            why = str(error)
    without = tuple(cover.without for cover in closing.covers)
    if not totals:
        return Opened(None, without, why=why)
    suspects = _suspects(closing, covers)
    total, *others = totals
    if not all(np.array_equal(total, other) for other in others):
        raise SumsDiffer("sum", expected="one sum, whoever is left out", got="different ones", suspects=suspects)
    return Opened(total, without, suspects)


def _suspects(closing: Closing, opened: Sequence[Cover]) -> tuple[str, ...]:
    found = {cover.without for cover in opened if cover.without is not None} | set(closing.untried)
    if closing.plan.protection.colluders > 1:  # then whoever stood in may have lied for another
        found |= {share.node for cover in opened for share in cover.shares if share.stands_in}
    return tuple(sorted(found))


def _open(blobs: BlobStore, closing: Closing, cover: Cover) -> NDArray[np.int64]:
    bodies, opened = closing.bodies, []
    # Those that lie in the database were checked whole when they came.
    digests = {share: hashlib.sha256() for share in cover.shares if share.stored.inline is None}
    for first, count, stored in closing.ranges:
        offset, size = bodies.byte_range(first, count)
        if stored is None:
            total = bodies.sum_range(first, count, (source.read(blobs, offset, size) for source in closing.sources))
        else:
            total = stored.read(blobs)
        parts = []
        for share in cover.shares:
            part = share.stored.read(blobs, offset, size)
            if share in digests:
                _check_part(bodies, first, count, share, part)
                digests[share].update(part)
            parts.append(part)
        opened.append(bodies.open_range(first, count, total, parts, len(closing.contributors)))
    for share, digest in digests.items():
        header = crypto.read_header(share.stored.read(blobs, 0, crypto.HEADER_BYTES))
        if header.body_digest != digest.digest():
            raise _malformed(share, expected="the body that its header names", got="another")
    return np.concatenate(opened)


def _check_part(bodies: RoundBodies, first: int, count: int, share: Share, part: bytes) -> None:
    try:
        bodies.check_share_range(first, count, part)
    except crypto.CryptoError as error:
        raise _malformed(share, expected=error.expected, got=error.got) from error


def _malformed(share: Share, *, expected: str, got: str) -> StoredShareMalformed:
    where = f"share {share.number}"
    return StoredShareMalformed(where, node=share.node, number=share.number, expected=expected, got=got)
