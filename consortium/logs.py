"""Structured logs on standard error: one JSON object a line, or for people on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog


def _for_people() -> structlog.dev.ConsoleRenderer:
    # The default formatter would print the local variables of every frame: tokens and bodies among them.
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def configure_logging(level: str) -> None:
    """Sets structlog up for a process.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _for_people() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
