"""Reads the settings, and says in a sentence what is wrong with them."""

from __future__ import annotations

from typing import Any

import click
from pydantic import ValidationError

from consortium.settings import Settings
from protocol.findings import explained


def read_settings(**given: Any) -> Settings:
    """The settings from the environment, with what was given on the command line on top."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise click.UsageError("; ".join(said(error))) from error


def said(error: ValidationError) -> list[str]:
    """What is wrong with which setting; what was set is not repeated where it may be a password."""
    lines = []
    for finding in error.errors(include_url=False):
        if not finding["loc"]:
            lines.append(explained(finding))
            continue
        name = str(finding["loc"][0])
        got = "" if name.endswith("_url") else repr(finding["input"])
        lines.append(f"CONSORTIUM_{name.upper()}: {explained(finding, got)}")
    return lines
