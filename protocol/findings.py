"""What pydantic finds wrong, as a sentence for people: what would be accepted, instead of its own words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from protocol.ids import DigestHex, Name, UUIDText

#: What a text must look like, in words.
_PATTERNS = MappingProxyType(
    {
        get_args(Name)[1].pattern: "at most 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit",
        get_args(UUIDText)[1].pattern: "an id",
        get_args(DigestHex)[1].pattern: "64 hex digits",
    }
)
#: Longer than any field's.
_LONGEST_NAME = 64
_TYPES = MappingProxyType(
    {
        "model_type": "an object",
        "dict_type": "an object",
        "model_attributes_type": "an object",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "float_type": "a number",
        "string_type": "text",
        "tuple_type": "a list",
        "list_type": "a list",
    }
)


def explained(finding: Mapping[str, Any], got: str = "", known: Iterable[str] = ()) -> str:
    """One of pydantic's findings, without its place.

    Args:
        finding: of `ValidationError.errors()`, with its context.
        got: what was given, as it may be shown; empty where it may be a secret.
        known: names of fields, one of which may have been meant by one that is not there.
    """
    match finding["type"]:
        case "extra_forbidden":
            return f"there is no such field{_meant(str(finding['loc'][-1]), known)}"
        case "missing":
            return "expected a value, got none"
        case "value_error":
            return str(finding["msg"]).removeprefix("Value error, ")
        case _:
            return f"expected {_accepted(finding)}" + (f", got {got}" if got else "")


def explained_learning(finding: Mapping[str, Any], known: Iterable[str] = ()) -> tuple[str, str]:
    """One of pydantic's findings in a plan's `learning`, which is one of several kinds: its place, and the sentence."""
    context = finding.get("ctx", {})
    match finding["type"]:
        case "union_tag_invalid":
            meant = _meant(context["tag"], re.findall(r"\w+", context["expected_tags"]))
            return "learning.kind", f"expected one of {context['expected_tags']}, got {context['tag']!r}{meant}"
        case "union_tag_not_found":
            return "learning.kind", "expected the name of an algorithm, got none"
    # The first part of a place within one kind's settings is the kind itself.
    where = ".".join(["learning", *(str(part) for part in finding["loc"][1:])])
    return where, explained(finding, _short(finding["input"]), known)


def fields_in(schema: Mapping[str, Any]) -> set[str]:
    """The names of all fields in a JSON schema as pydantic makes them, those of its parts included."""
    return {name for part in (schema, *schema.get("$defs", {}).values()) for name in part.get("properties", ())}


def _meant(given: str, known: Iterable[str]) -> str:
    if len(given) > _LONGEST_NAME:  # comparing takes time with the length, and anybody may have sent it
        return ""
    close = difflib.get_close_matches(given, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _accepted(finding: Mapping[str, Any]) -> str:
    if finding["type"] == "string_pattern_mismatch":
        pattern = finding["ctx"]["pattern"]
        return _PATTERNS.get(pattern, f"text that matches {pattern}")
    if finding["type"] == "json_invalid":
        return str(finding["msg"]).removeprefix("Invalid ")
    return _TYPES.get(finding["type"]) or re.sub(r"^\w+ should (be |have )?", "", str(finding["msg"]))
