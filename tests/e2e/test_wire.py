"""What leaves a node, byte for byte: under ckks nothing of a contribution in any usual encoding; under none all of it,
which shows that the search finds what is there, and everything about such a training says so.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack

import numpy as np
import pytest
from pydantic import TypeAdapter

from learning.algorithms import LearningSettings, build
from learning.driver import run
from learning.schema import FeatureSchema, prepare
from protocol.aggregate import encode_aggregate, value_bytes
from tests.common.consortium_of_nodes import ConsortiumOfNodes
from tests.common.nodes import schema_of, simulated_rows
from tests.common.recording_proxy import RecordingProxy

pytestmark = pytest.mark.server

COLUMNS = 5
LEARNING = {"kind": "gbdt", "inputs": schema_of(COLUMNS), "trees": 2, "max_depth": 3, "max_bin": 16}
#: So many neighbouring values in clear are a finding; three of them are 9 bytes at the very least.
WINDOW = 3


def contributions_of_first_bank(tables):
    """Query and fixed-point vector of every round, as the first bank computes them."""
    schema = FeatureSchema.model_validate(LEARNING["inputs"])
    found = []
    vectors = {}

    def summed(query, contributions):
        found.append((query, contributions[0]))
        vectors[query.name] = contributions[0]
        return sum(contributions)

    algorithm = build(TypeAdapter(LearningSettings).validate_python(LEARNING))
    run(algorithm, [prepare(table, schema) for table in tables], secure_sum=summed)
    return found


def encodings(query, vector):
    """The vector as somebody would send it: width of a value in bytes → bytes, under a name."""
    real = vector * query.resolution
    yield "int64", 8, vector.astype("<i8").tobytes()
    yield "int64 big-endian", 8, vector.astype(">i8").tobytes()
    yield "float64", 8, real.astype("<f8").tobytes()
    yield "float64 big-endian", 8, real.astype(">f8").tobytes()
    yield "float64 of the integers", 8, vector.astype("<f8").tobytes()
    yield "float32", 4, real.astype("<f4").tobytes()
    yield "float32 of the integers", 4, vector.astype("<f4").tobytes()
    yield "int32", 4, vector.astype("<i4").tobytes()
    yield "aggregate", value_bytes(query), encode_aggregate(query, vector)


def telling_windows(vector):
    """Where WINDOW neighbouring values are all distinct and non-zero, so that their bytes cannot occur by chance."""
    ends = range(len(vector) - WINDOW + 1)
    return [
        i for i in ends if (vector[i : i + WINDOW] != 0).all() and len(set(vector[i : i + WINDOW].tolist())) == WINDOW
    ]


def found_in_clear(sent, rounds):
    """Names of the encodings of which the bytes sent hold a window, and how many windows were looked for."""
    findings, looked = set(), 0
    for query, vector in rounds:
        places = telling_windows(vector)[:40]
        looked += len(places)
        for name, width, data in encodings(query, vector):
            for place in places:
                window = data[place * width : (place + WINDOW) * width]
                texts = [window] if len(window) >= 9 else []
                # Base64 has three phases; the middle of each is free of its neighbours.
                texts += [base64.b64encode(b"\0" * shift + window)[4:-4] for shift in range(3) if len(window) >= 16]
                if any(text in sent for text in texts):
                    findings.add(name)
        for place in places:
            numbers = vector[place : place + WINDOW].tolist()
            texts = [separator.join(map(str, numbers)).encode() for separator in (",", ", ", " ", "\n")]
            if any(text in sent for text in texts):
                findings.add("text")
    return findings, looked


@pytest.mark.parametrize(("level", "expected"), [("ckks", set()), ("none", {"aggregate"})])
def test_what_leaves_a_node(tmp_path, level, expected):
    tables = [simulated_rows(number, 400, COLUMNS) for number in range(3)]
    with ExitStack() as stack:
        proxies = []

        def through(url, number):
            if number != 0:
                return url
            proxies.append(stack.enter_context(RecordingProxy(url)))
            return proxies[0].url

        consortium = stack.enter_context(
            ConsortiumOfNodes(tmp_path, tables, policy="allow_unprotected = true\n", through=through)
        )
        training = consortium.start_training({"name": "m", "learning": LEARNING, "protection": {"level": level}})
        consortium.finish(training)
        sent = proxies[0].sent()
        card = consortium.service.cli("model", "card", "m", token=consortium.token)
        held = consortium.nodes[0].models()[0]

    rounds = contributions_of_first_bank(tables)
    findings, looked = found_in_clear(sent, rounds)
    assert looked > 50
    assert findings == expected
    # No row either, in whatever form the node has it in memory.
    rows = np.ascontiguousarray(tables[0].drop(columns="fraud").to_numpy())
    assert not any(row.tobytes()[:12] in sent for row in rows)
    assert not any(row.astype(np.float64).tobytes()[:16] in sent for row in rows)
    # What was not encrypted says so wherever it goes.
    assert held["protection"] == level
    assert bool(card["warning"]) == (level == "none")
