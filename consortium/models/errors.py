"""What can be wrong with a model that is asked for."""

from __future__ import annotations

from consortium.errors import ConsortiumError


class ModelMissing(ConsortiumError):
    """There is no such model, or none of this name is in force."""


class ModelAmbiguous(ConsortiumError):
    """What was given fits several models."""


class NothingToRollBack(ConsortiumError):
    """No earlier model was in force under this name."""
