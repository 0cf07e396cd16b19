"""The client repeats what may be repeated, waits as told, stops when told, and signs every attempt anew."""

import hashlib
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bank_node.client import ServiceClient
from bank_node.durable import Disk
from bank_node.errors import AnswerUnfit, ServiceRefused, ServiceUnreachable, Stopped
from bank_node.status import NodeStatus, StatusBoard, read_status
from bank_node.transport import Answer, Traffic, TransportFailed
from protocol.messages import STATEMENT_HEADER, Accepted, Refusal, Work
from protocol.problems import MEDIA_TYPE, PROBLEMS, Problem, ProblemType
from protocol.request_auth import body_digest, verify_request
from protocol.signing import sign_statement
from protocol.statements import SignedStatement, Vote

NODE = "01930000-0000-7000-8000-000000000002"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Waits(threading.Event):
    """An event that remembers how long it was waited on and does not wait; stops after `stop_after` waits."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.seconds = []
        self._stop_after = stop_after

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        if self._stop_after is not None and len(self.seconds) >= self._stop_after:
            self.set()
        return self.is_set()


def problem(kind, **headers):
    body = Problem.of(kind, "a sentence")
    return Answer(body.status, "", {"content-type": MEDIA_TYPE, **headers}, body.model_dump_json().encode())


def other(status, content=b"<html>"):
    return Answer(status, "", {}, content)


def ok(model):
    return other(200, model.model_dump_json().encode())


class Wire:
    """The far end of the wire: answers what it was given, in order, and keeps what came."""

    url = "http://consortium.test"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.headers = []
        self.traffic = Traffic()

    def exchange(self, request, headers, *, most_bytes):
        self.requests.append(request)
        self.headers.append(headers)
        answer = self.answers.pop(0) if self.answers else TransportFailed("no more answers")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, stop=None, **settings):
        return ServiceClient(self, node=NODE, key=KEY, stop=stop or Waits(), **settings)


def test_every_attempt_is_signed_anew_over_method_target_and_body():
    wire = Wire(TransportFailed("down"), ok(Accepted()))
    wire.client().put_json("trainings/x/refusal", Refusal(reason="no"), wait_s=20)
    tokens = set()
    for request, headers in zip(wire.requests, wire.headers, strict=True):
        token = headers["Authorization"].removeprefix("Bearer ")
        claims = verify_request(token, KEY.public_key(), method="PUT", target="/v1/trainings/x/refusal?wait=20")
        assert claims.iss == NODE
        assert claims.bdg == body_digest(hashlib.sha256(request.body).digest())
        assert request.target == "/v1/trainings/x/refusal?wait=20"
        tokens.add(claims.jti)
    assert len(tokens) == 2


@pytest.mark.parametrize("kind", [kind for kind, fixed in PROBLEMS.items() if fixed.retryable])
def test_retryable_problems_are_retried(kind):
    wire = Wire(problem(kind), problem(kind), ok(Work()))
    stop = Waits()
    assert wire.client(stop).work(20) == Work()
    assert len(stop.seconds) == 2


@pytest.mark.parametrize("kind", [kind for kind, fixed in PROBLEMS.items() if not fixed.retryable])
def test_final_problems_are_not_retried_and_reach_the_caller_whole(kind):
    wire = Wire(problem(kind))
    with pytest.raises(ServiceRefused) as caught:
        wire.client().work(20)
    assert caught.value.problem.kind is kind
    assert "a sentence" in str(caught.value)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_proxys_own_errors_are_retried(status):
    wire = Wire(other(status), ok(Work()))
    assert wire.client().work(0) == Work()


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410, 413])
def test_a_strangers_refusal_is_final(status):
    wire = Wire(other(status))
    with pytest.raises(ServiceRefused):
        wire.client().work(0)


def test_retry_after_is_honoured_and_backoff_grows_with_jitter_to_a_limit():
    wire = Wire(
        problem(ProblemType.UNAVAILABLE, **{"retry-after": "7"}), *[TransportFailed("timed out")] * 40, ok(Work())
    )
    stop = Waits()
    wire.client(stop).work(0)
    assert stop.seconds[0] >= 7
    assert max(stop.seconds[1:]) <= 30
    assert len(set(stop.seconds)) > 20


def test_it_never_gives_up_by_itself():
    wire = Wire(*[TransportFailed("")] * 300, ok(Work()))
    client = wire.client()
    assert client.work(0) == Work()
    assert client.traffic.retries == 300


def test_it_says_that_the_service_does_not_answer_until_it_does(tmp_path):
    at = iter(range(100, 200))
    board = StatusBoard(tmp_path / "status.json", Disk(), NodeStatus(), clock=lambda: float(next(at)))
    seen = []

    class Watched(Wire):
        def exchange(self, *args, **kwargs):
            found = read_status(tmp_path / "status.json")
            seen.append(found and (found.unanswered_since_s, found.unanswered))
            return super().exchange(*args, **kwargs)

    wire = Watched(
        ok(Work()), TransportFailed("timed out"), problem(ProblemType.UNAVAILABLE), ok(Work()), ok(Work()),
        TransportFailed("reset"), other(403),
    )  # fmt: skip
    client = wire.client(unanswered=board.unanswered)
    for _ in range(3):
        client.work(0)
    with pytest.raises(ServiceRefused):
        client.work(0)
    assert read_status(tmp_path / "status.json").unanswered_since_s is None  # a refusal is an answer
    wire.answers = [TransportFailed("reset"), AnswerUnfit("GET", expected="less", got="more", advice=""), ok(Work())]
    with pytest.raises(AnswerUnfit):
        client.work(0)
    client.work(0)
    assert read_status(tmp_path / "status.json").unanswered_since_s is None
    since = seen[2][0]
    assert seen[:2] == [None, None]
    assert seen[2:4] == [(since, "timed out"), (since, seen[3][1])]
    assert seen[3][1].startswith("503 ")
    assert seen[4] == (None, "")


def test_it_gives_up_when_told_a_limit():
    with pytest.raises(ServiceUnreachable, match=r"consortium\.test"):
        Wire(TransportFailed("")).client(give_up_after_s=-1).work(0)


def test_a_stop_ends_the_wait():
    with pytest.raises(Stopped):
        Wire(*[TransportFailed("")] * 10).client(Waits(stop_after=3)).work(0)


def test_after_a_stop_promised_uploads_are_still_sent_and_questions_are_not():
    stop = Waits()
    stop.set()
    wire = Wire(ok(Accepted()))
    client = wire.client(stop)
    client.put_bytes("trainings/x/rounds/0/contribution", b"abc")
    with pytest.raises(Stopped):
        client.work(20)


def test_a_binary_body_travels_beside_its_statement():
    vote = Vote(training=NODE, round=1, node=NODE, query="ab" * 32, history="cd" * 32, contributors=(NODE,))
    signed = sign_statement(KEY, vote)
    wire = Wire(ok(Accepted()))
    wire.client().put_bytes("trainings/x/rounds/1/contribution", b"\0\1", statement=signed)
    assert [request.body for request in wire.requests] == [b"\0\1"]
    assert SignedStatement.from_header(wire.headers[0][STATEMENT_HEADER]) == signed


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items": [{"do": "dance"}]}', b'{"items": [], "extra": 1}'])
def test_an_answer_that_is_not_the_protocols_is_refused(body):
    with pytest.raises(ServiceRefused, match="Work"):
        Wire(other(200, body)).client().work(0)
