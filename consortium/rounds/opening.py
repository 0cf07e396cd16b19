"""Opens a round's sum with the answers that are there: with the first cover, or, once that is doubted, with every cover
that leaves one of its members out (`consortium.rounds.assignments`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, bindparam, select
from sqlalchemy.orm import Session, undefer

import crypto
from consortium.blobs.port import BlobStore
from consortium.rounds.assignments import is_counted, suspects_of
from consortium.rounds.protection import RoundBodies, bodies_of
from consortium.rounds.tables import Assignment, Contribution, Round, SumRange
from consortium.stored_body import StoredBody
from consortium.trainings.errors import StoredShareMalformed, SumsDiffer
from consortium.trainings.moves import plan_of, roster_of
from consortium.trainings.tables import Training
from crypto.errors import CheckFailed
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.states import RoundState


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


# Built once: to build a statement costs about as much as to run it.
_TRAINING: BindParameter[str] = bindparam("training")
_INDEX: BindParameter[int] = bindparam("round")
_CLOSING = (
    select(Training, Round)
    .join(Round, Round.training == Training.id)
    .where(Training.id == _TRAINING, Round.index == _INDEX)
)
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
_ANSWERS = (
    select(Assignment)
    .where(Assignment.training == _TRAINING, Assignment.round == _INDEX)
    .order_by(Assignment.number)
    .options(undefer(Assignment.inline))
)


def find_closing(s: Session, training_id: str, index: int) -> Closing | None:
    """What a round is opened with; None while something is missing, or once it is over."""
    found = s.execute(_CLOSING, {"training": training_id, "round": index}).one_or_none()
    if found is None:
        return None
    training, row = found
    if row.status is not RoundState.DECRYPTING or training.status.ended:
        return None
    plan = plan_of(training)
    bodies = bodies_of(training, plan, row)
    ranges = _ranges(s, row)
    encrypted = bodies.round_id is not None
    assignments = _answers(s, row) if encrypted else []
    covers = _covers(row, assignments, _piece_count(bodies)) if encrypted else (Cover(None, ()),)
    if not covers or any(stored is None for _, _, stored in ranges):
        return None
    suspects = suspects_of(assignments) if row.doubted else set()
    return Closing(
        plan=plan,
        roster=roster_of(training),
        query=row.query_digest,
        history=row.history,
        bodies=bodies,
        contributors=tuple(row.contributors or ()),
        ranges=ranges or ((0, bodies.chunks, None),),
        sources=() if ranges else tuple(contribution_bodies(s, row)),
        covers=covers,
        untried=tuple(sorted(suspects - {cover.without for cover in covers})),
    )


def _ranges(s: Session, row: Round) -> tuple[tuple[int, int, StoredBody | None], ...]:
    if row.ranges == 1:  # it is summed by the task that opens it
        return ()
    parts = s.execute(_RANGES, {"training": row.training, "round": row.index})
    return tuple((first, count, None if blob is None else StoredBody(None, blob)) for first, count, blob in parts)


def contribution_bodies(s: Session, row: Round) -> list[StoredBody]:
    """The bodies of the fixed contributor set."""
    key = {"training": row.training, "round": row.index, "nodes": row.contributors or []}
    return [StoredBody(inline, blob) for inline, blob in s.execute(_BODIES, key)]


def _piece_count(bodies: RoundBodies) -> int:
    return bodies.round_id.parameters.pieces if bodies.round_id is not None else 0


def _answers(s: Session, row: Round) -> list[Assignment]:
    return list(s.scalars(_ANSWERS, {"training": row.training, "round": row.index}))


def _covers(row: Round, assignments: Sequence[Assignment], pieces: int) -> tuple[Cover, ...]:
    first = [assignment for assignment in assignments if is_counted(assignment)]
    candidates: dict[str | None, list[Assignment]]
    if not row.doubted:
        candidates = {None: first}
    elif any(assignment.state == "open" for assignment in assignments):
        return ()  # those who can be heard are heard before anyone is judged
    else:
        candidates = {
            suspect: [a for a in first if a.node != suspect]
            + [a for a in assignments if a.instead_of == suspect and a.state == "answered"]
            for suspect in sorted(suspects_of(assignments))
        }
    return tuple(
        Cover(without, tuple(map(_share, answers)))
        for without, answers in candidates.items()
        if sorted(piece for a in answers for piece in a.pieces) == list(range(pieces))
    )


def _share(answer: Assignment) -> Share:
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
