"""What can be wrong with a node or its enrolment."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class EnrolmentRefused(ConsortiumError):
    """The one-time token does not hold, or the application does not verify."""


class NodeMissing(ConsortiumError):
    """There is no such node."""


class NodeNameTaken(ConsortiumError):
    """Another node has this name."""
