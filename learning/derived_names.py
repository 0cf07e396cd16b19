"""Names of the features that banks derive, without the modules that compute them."""

from __future__ import annotations

from collections.abc import Sequence


def profile_names(windows_days: Sequence[int]) -> list[str]:
    """Names of the customer profiles, in the order of `learning.profiles.customer_profiles`' columns."""
    by_window = [
        f"customer_{what}_{window}d" for window in windows_days for what in ("count", "amount", "mean", "ratio")
    ]
    return [*by_window, "customer_hours_since_last"]


def risk_names(entities: Sequence[str], windows_days: Sequence[int]) -> list[str]:
    """Names of an entity table's features, in the order of `learning.risk_table.RiskTable.features`' columns."""
    return [
        f"{entity}_{what}_{window}d"
        for entity in entities
        for window in windows_days
        for what in ("transactions", "frauds", "risk", "risk_ratio")
    ]
