"""From an error's class to a problem document (RFC 9457): a type that a program acts on, a sentence for a person."""

from __future__ import annotations

from types import MappingProxyType

from flask import Response

from consortium.access.errors import TokenAmbiguous, TokenNotThere
from consortium.blobs import BlobMissing, BlobsUnavailable
from consortium.errors import ConsortiumError
from consortium.http import errors as http
from consortium.members.errors import EnrolmentRefused, NodeMissing, NodeNameTaken
from consortium.models.errors import ModelAmbiguous, ModelMissing, NothingToRollBack
from consortium.plans.errors import PlanInvalid, PlanMissing, PlanNameTaken, PlanTrained
from consortium.trainings import errors as trainings
from protocol import errors as protocol
from protocol.problems import MEDIA_TYPE, PROBLEMS, Problem, ProblemType

P = ProblemType
#: The most specific class decides.
PROBLEM_OF: MappingProxyType[type[Exception], ProblemType] = MappingProxyType(
    {
        http.BodyUnreadable: P.BAD_REQUEST,
        http.BodyTooLarge: P.TOO_LARGE,
        http.LengthMissing: P.LENGTH_REQUIRED,
        http.MediaTypeWrong: P.UNSUPPORTED_MEDIA,
        http.BodyDigestWrong: P.DIGEST_MISMATCH,
        http.FieldInvalid: P.VALIDATION,
        http.NotAuthenticated: P.NOT_AUTHENTICATED,
        http.TokenStale: P.STALE_TOKEN,
        http.TokenReplayed: P.REPLAYED,
        http.AccessDenied: P.FORBIDDEN,
        TokenNotThere: P.NOT_FOUND,
        TokenAmbiguous: P.WRONG_STATE,
        BlobMissing: P.NOT_FOUND,
        BlobsUnavailable: P.UNAVAILABLE,
        EnrolmentRefused: P.ENROLMENT_TOKEN_INVALID,
        NodeMissing: P.NOT_FOUND,
        NodeNameTaken: P.NAME_TAKEN,
        PlanInvalid: P.VALIDATION,
        PlanMissing: P.NOT_FOUND,
        PlanNameTaken: P.NAME_TAKEN,
        PlanTrained: P.WRONG_STATE,
        ModelMissing: P.NOT_FOUND,
        ModelAmbiguous: P.WRONG_STATE,
        NothingToRollBack: P.WRONG_STATE,
        trainings.TrainingMissing: P.NOT_FOUND,
        trainings.TrainingMoved: P.UNAVAILABLE,
        trainings.WrongState: P.WRONG_STATE,
        trainings.WrongRound: P.WRONG_ROUND,
        trainings.TooLate: P.DEADLINE_PASSED,
        trainings.NotOnRoster: P.NOT_ON_ROSTER,
        trainings.HistoryForked: P.HISTORY_FORKED,
        trainings.BodyMismatch: P.STATEMENT_INVALID,  # not retryable: the bytes came as they were sent
        trainings.MutationForbidden: P.FORBIDDEN_MUTATION,
        trainings.TooFewBanks: P.BELOW_MINIMUM,
        trainings.ContributionMalformed: P.MALFORMED_CONTRIBUTION,
        trainings.ShareMalformed: P.MALFORMED_SHARE,
        protocol.ProtocolError: P.BAD_REQUEST,
        protocol.StatementInvalid: P.STATEMENT_INVALID,
        protocol.TransitionRefused: P.WRONG_STATE,
    }
)
#: Errors of these roots are foreseen; anything else is the service's own failure.
FORESEEN = (ConsortiumError, protocol.ProtocolError)
RETRY_AFTER_S = 2


def problem_of(error: Exception) -> ProblemType:
    """The problem type of an error: of its class, or of the nearest base that has one."""
    return next((PROBLEM_OF[base] for base in type(error).__mro__ if base in PROBLEM_OF), ProblemType.INTERNAL)


def respond(kind: ProblemType, detail: str, **extensions: object) -> Response:
    """The response that carries a problem document."""
    problem = Problem.of(kind, detail, **extensions)
    response = Response(problem.model_dump_json(), status=problem.status, content_type=MEDIA_TYPE)
    if PROBLEMS[kind].retryable:
        response.headers["Retry-After"] = str(RETRY_AFTER_S if kind is ProblemType.UNAVAILABLE else 0)
    if kind in {ProblemType.NOT_AUTHENTICATED, ProblemType.STALE_TOKEN, ProblemType.REPLAYED}:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def respond_to(error: Exception) -> Response:
    """The response to a foreseen error."""
    extensions = {"fields": error.fields} if isinstance(error, http.FieldInvalid) else {}
    return respond(problem_of(error), str(error), **extensions)
