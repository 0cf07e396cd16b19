"""What can be wrong with a plan."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class PlanInvalid(ConsortiumError):
    """A plan that no training could follow."""


class PlanMissing(ConsortiumError):
    """There is no plan of this name."""


class PlanNameTaken(ConsortiumError):
    """Another plan has this name."""


class PlanTrained(ConsortiumError):
    """A plan of which a training was started: banks have signed its digest, so that it stays."""
