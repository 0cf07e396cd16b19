"""What pydantic finds wrong, as a sentence for people: what would be accepted, instead of its own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
_TYPES = MappingProxyType(
    {
        "extra_forbidden": "no such field",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "float_type": "a number",
        "string_type": "text",
    }
)


def explained(finding: Mapping[str, Any], got: str = "") -> str:
    """One of pydantic's findings, without its place.

    Args:
        finding: of `ValidationError.errors()`, with its context.
        got: what was given, as it may be shown; empty where it may be a secret.
    """
    match finding["type"]:
        case "missing":
            return "expected a value, got none"
        case "value_error":
            return str(finding["msg"]).removeprefix("Value error, ")
        case _:
            return f"expected {_accepted(finding)}" + (f", got {got}" if got else "")


def _accepted(finding: Mapping[str, Any]) -> str:
    if finding["type"] == "string_pattern_mismatch":
        pattern = finding["ctx"]["pattern"]
        return _PATTERNS.get(pattern, f"text that matches {pattern}")
    if finding["type"] == "json_invalid":
        return str(finding["msg"]).removeprefix("Invalid ")
    return _TYPES.get(finding["type"]) or re.sub(r"^\w+ should (be |have )?", "", str(finding["msg"]))
