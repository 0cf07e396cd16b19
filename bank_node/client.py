"""HTTP to the service: every request signed, every answer typed, retried for as long as it makes sense.

A request that may be repeated is repeated on connection errors and on problems that the protocol calls retryable, with
jittered backoff and honouring `Retry-After`, until it succeeds or the node is told to stop. All uploads are `PUT`s
that the service takes twice, so that repeating is always safe.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
import tenacity
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ValidationError

from bank_node.errors import ServiceRefused, ServiceUnreachable, Stopped
from bank_node.transport import Answer, Request, Traffic, Transport, TransportFailed
from protocol.messages import STATEMENT_HEADER, Accepted, AppliedRound, EnrolmentReply, EnrolmentRequest, Work
from protocol.problems import MEDIA_TYPE, PROBLEMS, Problem, ProblemType
from protocol.request_auth import sign_request
from protocol.statements import SignedStatement
from protocol.version import API_PREFIX

log = structlog.get_logger("bank_node.client")
ModelT = TypeVar("ModelT", bound=BaseModel)

FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 30.0
JSON = "application/json"
BINARY = "application/octet-stream"


class _Retryable(Exception):  # never leaves this module
    """The request may be repeated; after at least `after_s` seconds, if the service has said so."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class ServiceClient:
    """The service, as a node sees it.

    Args:
        transport: the way to the service; owned by the caller.
        node: the node's id; None before it is enrolled.
        key: the node's signing key.
        stop: set when the node must stop; every wait ends then.
        give_up_after_s: seconds of failures after which a request fails; None never gives up.
        max_reply_bytes: the longest answer that is read.
        unanswered: told why, before a request is repeated, and None once one is answered again.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        node: str | None,
        key: Ed25519PrivateKey,
        stop: threading.Event | None = None,
        give_up_after_s: float | None = None,
        max_reply_bytes: int = 64 << 20,
        unanswered: Callable[[str | None], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._node = node
        self._key = key
        self._stop = stop or threading.Event()
        self._give_up_after_s = give_up_after_s
        self._max_reply_bytes = max_reply_bytes
        self._unanswered = unanswered
        self._clock = clock
        self._in_long_poll = False
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Retryable), wait=_backoff, stop=self._gives_up, sleep=self._pause,
            before_sleep=self._note_retry, reraise=True,
        )  # fmt: skip

    @property
    def traffic(self) -> Traffic:
        """What has crossed the wire so far."""
        return self._transport.traffic

    def end_long_poll(self) -> None:
        """For a signal's handler, which runs in the waiting thread: ends a request that waits for the next work.

        All requests may be repeated, and what one of them promised is on disk, so nothing is lost.

        Raises:
            Stopped: such a request is under way.
        """
        if self._in_long_poll:
            self._in_long_poll = False
            raise Stopped

    def enrol(self, request: EnrolmentRequest) -> EnrolmentReply:
        """`POST /v1/nodes`, unsigned but for the statement inside. Not repeated: the token works once."""
        body = request.model_dump_json().encode()
        answer = self._send(Request("POST", f"{API_PREFIX}/nodes", body, {"Content-Type": JSON}), repeat=False)
        return _parse(EnrolmentReply, answer)

    def work(self, wait_s: float) -> Work:
        """`GET /v1/work`: what this node owes; waits up to `wait_s` for something."""
        return _parse(Work, self._send(Request("GET", f"{API_PREFIX}/work?wait={wait_s:g}")))

    def put_json(self, path: str, message: BaseModel | None, *, wait_s: float | None = None) -> Accepted:
        """`PUT` of a JSON message, or of nothing; asks for the next work too if `wait_s` is given."""
        body = b"" if message is None else message.model_dump_json().encode()
        headers = {} if message is None else {"Content-Type": JSON}
        return _parse(Accepted, self._send(Request("PUT", _target(path, wait_s), body, headers)))

    def put_bytes(
        self, path: str, body: bytes, *, statement: SignedStatement | None = None, sha256: str | None = None,
        wait_s: float | None = None, meanwhile: Callable[[], None] | None = None,
    ) -> Accepted:  # fmt: skip
        """`PUT` of a binary body beside the statement that signs it, and its digest in hex where that is known.

        What is to be done `meanwhile` is done while the service waits for others; again if the request is repeated.
        """
        headers = {"Content-Type": BINARY}
        if statement is not None:
            headers[STATEMENT_HEADER] = statement.to_header()
        request = Request("PUT", _target(path, wait_s), body, headers, sha256=sha256, meanwhile=meanwhile)
        return _parse(Accepted, self._send(request))

    def applied(self, training: str, round_index: int) -> AppliedRound:
        """A finished round of a training."""
        target = f"{API_PREFIX}/trainings/{training}/rounds/{round_index}/applied"
        return _parse(AppliedRound, self._send(Request("GET", target)))

    def get_bytes(self, path: str, *, most_bytes: int | None = None) -> bytes:
        """A binary body.

        Raises:
            AnswerUnfit: it is longer than `most_bytes`, where that is known.
        """
        return self._send(Request("GET", _target(path, None), most_bytes=most_bytes)).content

    def _send(self, request: Request, *, repeat: bool = True) -> Answer:
        try:
            try:
                return self._send_once(request)
            except _Retryable as error:
                if not repeat:
                    raise
                failed = error
            return self._retrying(self._send_again, request, [failed])
        except _Retryable as error:
            raise ServiceUnreachable(self._transport.url, str(error)) from error

    def _send_again(self, request: Request, failed: list[_Retryable]) -> Answer:
        """For `tenacity`, which is asked only after a failure and counts that one as its first attempt."""
        if failed:
            raise failed.pop()
        return self._send_once(request)

    def _send_once(self, request: Request) -> Answer:
        if self._stop.is_set() and request.method == "GET":
            raise Stopped  # what is read can be read after the restart; what was promised is still sent
        headers = dict(request.headers)
        if self._node is not None:
            token = sign_request(
                self._key,
                node=self._node,
                method=request.method,
                target=request.target,
                sha256=bytes.fromhex(request.sha256) if request.sha256 else hashlib.sha256(request.body).digest(),
                now_s=self._clock(),
            )
            headers["Authorization"] = f"Bearer {token}"
        traffic = self._transport.traffic
        traffic.requests += 1
        traffic.bytes_up += len(request.body)
        self._in_long_poll = "wait=" in request.target
        try:
            answer = self._transport.exchange(request, headers, most_bytes=self._max_reply_bytes)
        except TransportFailed as error:
            raise _Retryable(str(error)) from error
        finally:
            self._in_long_poll = False
        traffic.bytes_down += len(answer.content)
        try:
            _raise_for_problem(request, answer)
        except ServiceRefused:
            self._unanswered(None)  # a refusal is an answer
            raise
        self._unanswered(None)
        return answer

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def _gives_up(self, state: tenacity.RetryCallState) -> bool:
        limit = self._give_up_after_s
        return limit is not None and (state.seconds_since_start or 0.0) >= limit

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self.traffic.retries += 1
        request: Request = state.args[0]
        reason = state.outcome.exception() if state.outcome is not None else None
        path = request.target.partition("?")[0]
        self._unanswered(str(reason))
        log.warning("request:retry", method=request.method, path=path, attempt=state.attempt_number, why=str(reason))


def _target(path: str, wait_s: float | None) -> str:
    return f"{API_PREFIX}/{path}" + ("" if wait_s is None else f"?wait={wait_s:g}")


_exponential = tenacity.wait_random_exponential(multiplier=FIRST_BACKOFF_S, max=LONGEST_BACKOFF_S)


def _backoff(state: tenacity.RetryCallState) -> float:
    """Exponential with full jitter; at least what the service's `Retry-After` asked for."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.after_s if isinstance(error, _Retryable) and error.after_s is not None else 0.0
    return max(asked, _exponential(state))


def _raise_for_problem(request: Request, answer: Answer) -> None:
    if answer.is_success:
        return
    problem = _problem_of(answer)
    kind = problem.kind
    # A status that is not the protocol's own (a proxy's 502, say) is judged by its class.
    retryable = (
        PROBLEMS[kind].retryable if kind is not None else answer.status in {408, 425, 429} | set(range(500, 600))
    )
    if retryable:
        raise _Retryable(f"{problem.status} {problem.title}: {problem.detail}", _retry_after_s(answer))
    raise ServiceRefused(request.what, problem)


def _problem_of(answer: Answer) -> Problem:
    if answer.headers.get("content-type", "").startswith(MEDIA_TYPE):
        try:
            return Problem.model_validate_json(answer.content)
        except ValidationError:
            pass  # fall through: the status is all that can be relied on
    return Problem(type="about:blank", title=answer.reason, status=answer.status, detail="no problem document")


def _retry_after_s(answer: Answer) -> float | None:
    try:
        return min(float(answer.headers["retry-after"]), 600.0)
    except (KeyError, ValueError):
        return None


def _parse(model: type[ModelT], answer: Answer) -> ModelT:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        problem = Problem.of(ProblemType.PROTOCOL_VERSION, f"not a {model.__name__}: {_fields(error)}")
        raise ServiceRefused("the service's answer", problem) from error


def _fields(error: ValidationError) -> str:
    return ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:5])
