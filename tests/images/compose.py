"""What docker/compose.yaml says, with its variables replaced as compose replaces them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.images.image import REPOSITORY

COMPOSE = REPOSITORY / "docker/compose.yaml"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\})")


class VariableMissing(Exception):
    """A variable without a default is not set."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Replaces ``$$``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}``."""

    def value(match: re.Match[str]) -> str:
        dollar, name, operator, rest = match.groups()
        if dollar:
            return "$"
        found = variables.get(name, "")
        if not found and operator == ":?":
            raise VariableMissing(f"{name}: {rest}")
        return found or (rest if operator == ":-" else "")

    return _VARIABLE.sub(value, text)


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file's content."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return interpolate(value, variables) if isinstance(value, str) else value

    content: dict[str, Any] = replaced(yaml.safe_load(COMPOSE.read_text()))
    return content
