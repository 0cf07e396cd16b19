"""Hundreds of damaged uploads, made from those that banks have really sent: none is the service's own failure, none
changes what was accepted, and the training ends in the expected model.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from protocol.messages import STATEMENT_HEADER
from protocol.problems import ProblemType as P
from protocol.request_auth import body_digest
from protocol.signing import sign_statement
from protocol.statements import STATEMENTS, SignedStatement
from tests.adversarial.world import Upload, check_problem, running_world, token_of, withheld

CASES = 300
#: The kinds of which a bank has sent one by the time that round 1 collects, in the order in which it sends them.
SENT = ("acceptance", "sealed", "deal", "receipt", "contribution", "vote", "share")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running_world(tmp_path_factory.mktemp("fuzz"), agreement=True) as world:
        yield world


@pytest.fixture(scope="module")
def sent(world):
    """(bank, upload) of every kind, all accepted; and a contribution that was not sent yet."""
    found = {}
    steps = {"acceptance": "answer_invitation", "deal": "deal", "receipt": "receive", "contribution": "contribute",
             "vote": "vote", "share": "share"}  # fmt: skip
    for kind, do in steps.items():
        owed = world.until(do)
        bank = next(bank for bank in world.banks if bank.node in owed)
        uploads = withheld(bank, owed[bank.node])
        for upload in uploads:
            assert world.send(bank, upload).is_success
        found[kind] = bank, uploads[-1]
        if kind == "deal":
            found["sealed"] = bank, uploads[0]
    owed = world.until("contribute", 1)
    bank = world.banks[0]
    found["next"] = bank, withheld(bank, owed[bank.node])[0]
    return found


@st.composite
def damaged_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with a few of them changed, taken out, put in, or cut off."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        match draw(st.sampled_from(["flip", "cut", "drop", "insert", "repeat", "fill"])):
            case "flip" if changed:
                changed[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del changed[at:]
            case "drop":
                del changed[at : at + draw(st.integers(1, 64))]
            case "insert":
                changed[at:at] = draw(st.binary(min_size=1, max_size=64))
            case "repeat":
                changed[at:at] = changed[at : at + draw(st.integers(1, 256))]
            case "fill":
                changed[at : at + 16] = draw(st.sampled_from([b"\0", b"\xff"])) * 16
    return bytes(changed)


@st.composite
def damaged_statements(draw: st.DrawFn, signed: SignedStatement) -> dict:
    """A statement with one of its fields changed, as JSON; it may not be a statement any more."""
    document = signed.statement.model_dump(mode="json")
    field = draw(st.sampled_from(sorted(document)))
    document[field] = draw(
        st.one_of(
            st.integers(-(2**70), 2**70), st.none(), st.booleans(), st.text(max_size=20), st.floats(),
            st.sampled_from(["0" * 64, f"{0:08}-0000-0000-0000-{0:012}", [], {}, [0], "AAAA", 1, 2**53, [2**60]]),
        )
    )  # fmt: skip
    return document


@st.composite
def attacks(draw: st.DrawFn, sent: dict) -> tuple:
    """(kind, bank, upload, whether the request's own signature fits its body)."""
    kind = draw(st.sampled_from([*SENT, "next"]))
    bank, upload = sent[kind]
    headed = STATEMENT_HEADER in upload.headers
    ways = ["body", "path", "token"] + (["statement", "resigned"] if kind != "sealed" else []) + ["header"] * headed
    way = draw(st.sampled_from(ways))
    match way:
        case "body" | "token":
            upload = replace(upload, body=draw(damaged_bytes(upload.body)))
        case "path":
            other = sent[draw(st.sampled_from(SENT))][1].path
            text = draw(st.sampled_from([other, f"{upload.path}/0", upload.path.replace("0", "9"), upload.path[:-1]]))
            upload = replace(upload, path=text)
        case "header":
            value = draw(damaged_bytes(upload.headers[STATEMENT_HEADER].encode()))
            value = bytes(byte for byte in value if 32 < byte < 127)  # what a header can carry
            upload = replace(upload, headers=upload.headers | {STATEMENT_HEADER: value.decode()})
        case "statement" | "resigned":
            document = {"statement": draw(damaged_statements(upload.signed)), "signature": upload.signed.signature}
            if way == "resigned":
                try:
                    changed = STATEMENTS.validate_python(document["statement"])
                    document = sign_statement(bank.key, changed).model_dump(mode="json")
                except ValueError:
                    pass  # none that could be signed: it goes as it is
            text = json.dumps(document)
            if headed:
                header = base64.b64encode(text.encode()).decode()
                upload = replace(upload, headers=upload.headers | {STATEMENT_HEADER: header})
            else:
                upload = replace(upload, body=text.encode())
    return kind, bank, upload, way != "token"


def same(kind: str, upload: Upload, sent: dict) -> bool:
    """Whether this is what was sent before, however it is written."""
    before = sent[kind][1]
    if STATEMENT_HEADER in before.headers or kind == "sealed":
        return upload.body == before.body
    return upload.signed == before.signed


def test_no_damaged_upload_is_the_services_failure_or_changes_anything(world, sent):
    before = world.accepted()
    answers: Counter[object] = Counter()

    @settings(
        max_examples=CASES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(attack=attacks(sent))
    def attack_once(attack: tuple) -> None:
        kind, bank, upload, fits = attack
        claims = {} if fits else {"bdg": token_claim(sent[kind][1])}
        answer = world.send_with(upload, token_of(bank.transport, upload, **claims))
        if answer.is_success:
            assert upload.path in {one.path for _, one in sent.values()}
            assert same(kind, upload, sent)
            answers["accepted"] += 1
            return
        assert answer.status_code < 500, answer.text
        problem = P(answer.json()["type"].rpartition(":")[2])
        answers[problem] += 1
        if problem not in {P.NOT_FOUND, P.METHOD_NOT_ALLOWED}:
            check_problem(answer.status_code, answer.headers["Content-Type"], answer.content, problem)

    attack_once()
    assert world.accepted() == before
    # Not everything was stopped at the same place.
    assert {P.DIGEST_MISMATCH, P.VALIDATION, P.STATEMENT_INVALID, P.FORBIDDEN_MUTATION, P.BAD_REQUEST} <= set(answers)


def token_claim(upload: Upload) -> str:
    """The body's digest in the token of the honest request."""
    return body_digest(hashlib.sha256(upload.body).digest())
