"""What can be wrong with a model that is asked for."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class ModelMissing(ConsortiumError):
    """There is no such model."""


class NothingToRollBack(ConsortiumError):
    """No earlier model was in force under this name."""
