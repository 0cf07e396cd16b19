"""A plan's `learning` as the settings of an algorithm: read here, before anything looks into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bank_node.errors import PlanInvalid
from learning.errors import SettingsRejected
from protocol.plan import Plan

if TYPE_CHECKING:
    from learning.algorithms import AnySettings


def learning_settings(plan: Plan) -> AnySettings:
    """The settings of the plan's algorithm.

    Raises:
        PlanInvalid: they are none of any algorithm; the field is named.
    """
    from learning.algorithms import settings_of  # noqa: PLC0415  # pulls in pandas and Numba

    try:
        return settings_of(plan.learning)
    except SettingsRejected as error:
        raise PlanInvalid(
            f"plan {plan.name!r}", field=error.field, expected="settings of a known algorithm", got=error.got
        ) from error
