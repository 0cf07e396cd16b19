"""Committee and threshold as plan and banks determine them."""

import uuid

import pytest

from protocol.committee import committee_for
from protocol.plan import Plan

TRAINING = str(uuid.UUID(int=1))


def banks(count):
    return [str(uuid.UUID(int=100 + index)) for index in range(count)]


def plan(**protection):
    return Plan.model_validate({"name": "p", "learning": {}, "protection": protection})


@pytest.mark.parametrize(
    ("count", "protection", "size", "threshold"),
    [
        (5, {}, 5, 4),
        (7, {}, 7, 5),
        (9, {}, 9, 7),
        (40, {}, 9, 7),
        (40, {"committee_size": 5}, 5, 4),
        (40, {"committee_size": 5, "threshold": 3}, 5, 3),
        (3, {"committee_size": 5, "threshold": 4}, 3, 3),
        (5, {"level": "none"}, 0, 0),
    ],
)
def test_size_and_threshold(count, protection, size, threshold):
    committee, got = committee_for(plan(**protection), TRAINING, banks(count))
    assert (len(committee), got) == (size, threshold)
    assert list(committee) == sorted(committee)
    assert set(committee) <= set(banks(count))


def test_the_order_in_which_banks_are_named_does_not_matter():
    assert committee_for(plan(), TRAINING, banks(20)) == committee_for(plan(), TRAINING, banks(20)[::-1])
