"""What is wrong with a field is said by what would be accepted, and never in pydantic's words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError, field_validator

from protocol.findings import explained, fields_in
from protocol.ids import DigestHex, Name, UUIDText
from protocol.statements import WireModel


class Form(WireModel):
    """One field of each sort."""

    name: Name = "a"
    id: UUIDText = "00000000-0000-0000-0000-000000000000"
    digest: DigestHex = "0" * 64
    count: int = Field(default=1, ge=1)
    share: float = Field(default=0.5, lt=1)
    words: tuple[str, ...] = Field(default=("a",), min_length=1)
    needed: bool

    @field_validator("words")
    @classmethod
    def _no_zeros(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if "0" in words:
            raise ValueError("0 is no word")
        return words


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "Bank A!"}, "expected at most 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit, got X"),
        ({"id": "7"}, "expected an id, got X"),
        ({"digest": "f"}, "expected 64 hex digits, got X"),
        ({"count": "many"}, "expected a whole number, got X"),
        ({"count": 1.5}, "expected a whole number, got X"),
        ({"count": 0}, "expected greater than or equal to 1, got X"),
        ({"share": "half"}, "expected a number, got X"),
        ({"share": 2}, "expected less than 1, got X"),
        ({"words": []}, "expected at least 1 item after validation, not 0, got X"),
        ({"words": ["0"]}, "0 is no word"),
        ({"name": 1}, "expected text, got X"),
        ({"needed": "perhaps"}, "expected a valid boolean, unable to interpret input, got X"),
        ({"words": "a"}, "expected a list, got X"),
        ({"needed": ...}, "expected a value, got none"),
    ],
)
def test_a_finding_says_what_would_be_accepted(given: dict[str, Any], said: str):
    form = {name: value for name, value in ({"needed": True} | given).items() if value is not ...}
    with pytest.raises(ValidationError) as refused:
        Form.model_validate(form)
    (finding,) = refused.value.errors()
    assert explained(finding, "X") == said
    assert "X" not in explained(finding)


def test_an_unknown_field_is_told_from_what_was_meant():
    with pytest.raises(ValidationError) as refused:
        Form.model_validate({"needed": True, "shares": 0.1, "xyz": 1})
    known = fields_in(Form.model_json_schema())
    assert [explained(finding, "X", known) for finding in refused.value.errors()] == [
        "there is no such field; did you mean share?",
        "there is no such field",
    ]


def test_what_a_name_of_megabytes_may_have_meant_is_not_looked_for():
    with pytest.raises(ValidationError) as refused:
        Form.model_validate({"needed": True, "share" * 13: 1})
    assert explained(refused.value.errors()[0], known=["share" * 13]) == "there is no such field"


def test_what_is_no_object_is_said():
    with pytest.raises(ValidationError) as refused:
        Form.model_validate_json("[]")
    assert explained(refused.value.errors()[0]) == "expected an object"


def test_what_is_no_json_is_said():
    with pytest.raises(ValidationError) as refused:
        Form.model_validate_json("{")
    assert explained(refused.value.errors()[0]).startswith("expected JSON: ")
