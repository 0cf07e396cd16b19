"""What can be wrong in the service."""

from __future__ import annotations


class ConsortiumError(Exception):
    """Root of all errors of this package."""
