"""A plan's `learning` as the settings of an algorithm: read here, before anything looks into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bank_node.errors import PlanInvalid
from learning.errors import SettingsRejected
from protocol.findings import explained_learning
from protocol.plan import Plan

if TYPE_CHECKING:
    from learning.algorithms import AnySettings


def learning_settings(plan: Plan) -> AnySettings:
    """The settings of the plan's algorithm.

    Raises:
        PlanInvalid: they are none of any algorithm; the field is named.
    """
    from learning.algorithms import setting_names, settings_of  # noqa: PLC0415  # pulls in pandas and Numba

    try:
        return settings_of(plan.learning)
    except SettingsRejected as error:
        field, said = explained_learning(error.findings[0], setting_names())
        raise PlanInvalid(f"plan {plan.name!r}", field=field, said=said) from error
