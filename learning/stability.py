"""How the population stability index of `learning.drift` is read; for a card too, without arrays."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["stable", "moving", "shifted"]


def verdict(index: float) -> Verdict:
    """The usual reading of an index (Siddiqi, Credit Risk Scorecards, 2006): below 0.1, below 0.25, or more."""
    return "stable" if index < 0.1 else "moving" if index < 0.25 else "shifted"
