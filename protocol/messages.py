"""The JSON bodies between a node and the service. Binary bodies (contributions, shares, sealed pieces) have their own
formats in `crypto.wire`; the statement that signs one travels beside it in the `Consortium-Statement` header.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from protocol.ids import DigestHex, Name, Sentence, UUIDText
from protocol.plan import Plan
from protocol.roster import Roster
from protocol.statements import Base64Text, SignedStatement, WireModel
from protocol.states import TrainingState

STATEMENT_HEADER = "Consortium-Statement"
#: Characters of an enrolment token.
MIN_TOKEN, MAX_TOKEN = 16, 200


class EnrolmentRequest(WireModel):
    """`POST /v1/nodes`: the statement must verify under the signing key that it carries."""

    model_config = ConfigDict(hide_input_in_errors=True)  # the token is a secret

    token: str = Field(min_length=MIN_TOKEN, max_length=MAX_TOKEN)
    enrolment: SignedStatement


class EnrolmentReply(WireModel):
    """What a new node is told."""

    node: UUIDText
    consortium: Name
    protocol: int


class Invitation(WireModel):
    """You are asked to take part; answer with an `Acceptance` or a `Refusal`."""

    do: Literal["answer_invitation"] = "answer_invitation"
    training: UUIDText
    plan: Plan
    expires_in_s: float


class Refusal(WireModel):
    """`PUT …/refusal`: why a bank does not take part; a sentence for the operator, no data."""

    reason: Sentence = Field(min_length=1)


class Complaint(Refusal):
    """`PUT …/complaint`: why a bank does not go on; `about` is the dealer whose deal it cannot take, if that is why."""

    about: UUIDText | None = None


class DealWork(WireModel):
    """Deal your key among the committee of this roster (and the entity key, if you are first on it)."""

    do: Literal["deal"] = "deal"
    training: UUIDText
    plan: Plan
    roster: Roster


class ReceiveWork(WireModel):
    """Fetch what was sealed to you, check it against the dealers' statements, and send a `Receipt`."""

    do: Literal["receive"] = "receive"
    training: UUIDText
    attempt: int
    deals: tuple[SignedStatement, ...]


class AppliedRound(WireModel):
    """A finished round. `aggregate` is inline when it is small; else fetch `GET …/rounds/{round}/aggregate`."""

    round: int
    contributors: tuple[UUIDText, ...]
    query: DigestHex
    digest: DigestHex
    size_bytes: int
    aggregate: Base64Text | None = None


class ContributeWork(WireModel):
    """Contribute to this round. `applied` has the latest finished round; earlier ones are fetched by number."""

    do: Literal["contribute"] = "contribute"
    training: UUIDText
    round: int
    query: DigestHex
    history: DigestHex
    expires_in_s: float
    applied: AppliedRound | None = None


class VoteWork(WireModel):
    """Name the contributor set that you will answer for (agreement)."""

    do: Literal["vote"] = "vote"
    training: UUIDText
    round: int
    query: DigestHex
    contributors: tuple[SignedStatement, ...]
    applied: AppliedRound | None = None


class ShareWork(WireModel):
    """Send your decryption share for these pieces: `PUT …/rounds/{round}/shares/{assignment}`."""

    do: Literal["share"] = "share"
    training: UUIDText
    round: int
    query: DigestHex
    assignment: int
    pieces: tuple[int, ...]
    contributors: tuple[SignedStatement, ...]
    votes: tuple[SignedStatement, ...] = ()
    expires_in_s: float
    applied: AppliedRound | None = None


class ConfirmWork(WireModel):
    """All rounds are done: derive the model yourself and send its digest."""

    do: Literal["confirm_model"] = "confirm_model"
    training: UUIDText
    rounds: int
    applied: AppliedRound | None = None


class EndedWork(WireModel):
    """The training is over: destroy its keys and acknowledge (`PUT …/farewell`)."""

    do: Literal["end"] = "end"
    training: UUIDText
    state: TrainingState
    reason: str
    model: DigestHex | None = None


WorkItem = Annotated[
    Invitation | DealWork | ReceiveWork | ContributeWork | VoteWork | ShareWork | ConfirmWork | EndedWork,
    Field(discriminator="do"),
]


class Work(WireModel):
    """`GET /v1/work?wait=SECONDS`: everything that this node owes now; empty if the wait ran out.

    Attributes:
        in_force: digest of the model in force by name, for every name that has one, and None for a name that was
            withdrawn; None for all if nothing is said of it.
    """

    items: tuple[WorkItem, ...] = ()
    in_force: dict[Name, DigestHex | None] | None = None


class Accepted(WireModel):
    """The answer to a `PUT`. With `?wait=SECONDS` it waits for the next thing that this node owes."""

    accepted: Literal[True] = True
    work: Work | None = None
