"""The state machines of a training and of a round, as tables; pure.

training   draft ─► inviting ─► key_ceremony ─► running ⇄ paused
                                                   └─► evaluating ─► completed (any live state ─► failed | cancelled)
round      collecting ─► decrypting ─► applied (collecting, decrypting ─► failed)
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from protocol.errors import TransitionRefused


class TrainingState(StrEnum):
    """Where a training stands."""

    DRAFT = "draft"
    INVITING = "inviting"
    KEY_CEREMONY = "key_ceremony"
    RUNNING = "running"
    PAUSED = "paused"
    EVALUATING = "evaluating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True in the three states that nothing leaves."""
        return self in {TrainingState.COMPLETED, TrainingState.FAILED, TrainingState.CANCELLED}


class TrainingEvent(StrEnum):
    """What moves a training on."""

    START = "start"
    ROSTER_FIXED = "roster_fixed"
    KEYS_SHARED = "keys_shared"
    CEREMONY_RESTARTED = "ceremony_restarted"
    PAUSE = "pause"
    RESUME = "resume"
    ROUNDS_FINISHED = "rounds_finished"
    MODEL_CONFIRMED = "model_confirmed"
    FAIL = "fail"
    CANCEL = "cancel"


class RoundState(StrEnum):
    """Where a round stands."""

    COLLECTING = "collecting"
    DECRYPTING = "decrypting"
    APPLIED = "applied"
    FAILED = "failed"


class RoundEvent(StrEnum):
    """What moves a round on."""

    CONTRIBUTORS_FIXED = "contributors_fixed"
    AGGREGATE_DECRYPTED = "aggregate_decrypted"
    FAIL = "fail"


_T, _TE = TrainingState, TrainingEvent
_LIVE = [state for state in TrainingState if not state.ended]

TRAINING_TRANSITIONS: MappingProxyType[tuple[TrainingState, TrainingEvent], TrainingState] = MappingProxyType(
    {
        (_T.DRAFT, _TE.START): _T.INVITING,
        (_T.INVITING, _TE.ROSTER_FIXED): _T.KEY_CEREMONY,
        (_T.KEY_CEREMONY, _TE.CEREMONY_RESTARTED): _T.KEY_CEREMONY,
        (_T.KEY_CEREMONY, _TE.KEYS_SHARED): _T.RUNNING,
        (_T.RUNNING, _TE.PAUSE): _T.PAUSED,
        (_T.PAUSED, _TE.RESUME): _T.RUNNING,
        (_T.RUNNING, _TE.ROUNDS_FINISHED): _T.EVALUATING,
        (_T.EVALUATING, _TE.MODEL_CONFIRMED): _T.COMPLETED,
        **{(state, _TE.FAIL): _T.FAILED for state in _LIVE},
        **{(state, _TE.CANCEL): _T.CANCELLED for state in _LIVE},
    }
)

_R, _RE = RoundState, RoundEvent
ROUND_TRANSITIONS: MappingProxyType[tuple[RoundState, RoundEvent], RoundState] = MappingProxyType(
    {
        (_R.COLLECTING, _RE.CONTRIBUTORS_FIXED): _R.DECRYPTING,
        (_R.DECRYPTING, _RE.AGGREGATE_DECRYPTED): _R.APPLIED,
        (_R.COLLECTING, _RE.FAIL): _R.FAILED,
        (_R.DECRYPTING, _RE.FAIL): _R.FAILED,
    }
)


def next_training_state(state: TrainingState, event: TrainingEvent) -> TrainingState:
    """The state after `event`.

    Raises:
        TransitionRefused: the table has no such step.
    """
    try:
        return TRAINING_TRANSITIONS[state, event]
    except KeyError:
        takes = [before for before, taken in TRAINING_TRANSITIONS if taken is event]
        hint = "; it has ended for good: start another" if state.ended else ""
        raise TransitionRefused("training", state=state, event=event, takes=takes, hint=hint) from None


def next_round_state(state: RoundState, event: RoundEvent) -> RoundState:
    """The state after `event`.

    Raises:
        TransitionRefused: the table has no such step.
    """
    try:
        return ROUND_TRANSITIONS[state, event]
    except KeyError:
        takes = [before for before, taken in ROUND_TRANSITIONS if taken is event]
        raise TransitionRefused("round", state=state, event=event, takes=takes) from None
