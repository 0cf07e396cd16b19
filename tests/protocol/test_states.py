"""Every transition that the tables do not have is refused, and no state that has ended is ever left."""

import itertools

import pytest

from protocol.errors import TransitionRefused
from protocol.states import (
    ROUND_TRANSITIONS,
    TRAINING_TRANSITIONS,
    RoundEvent,
    RoundState,
    TrainingEvent,
    TrainingState,
    next_round_state,
    next_training_state,
)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(TrainingState, TrainingEvent)))
def test_a_training_takes_exactly_the_steps_of_its_table(state, event):
    if (state, event) in TRAINING_TRANSITIONS:
        assert next_training_state(state, event) is TRAINING_TRANSITIONS[state, event]
        assert not state.ended
    else:
        with pytest.raises(TransitionRefused) as refused:
            next_training_state(state, event)
        assert (refused.value.state, refused.value.event) == (state, event)
        assert f"got {state.value}" in str(refused.value)
        assert "TrainingState" not in str(refused.value)
        assert "TrainingEvent" not in str(refused.value)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(RoundState, RoundEvent)))
def test_a_round_takes_exactly_the_steps_of_its_table(state, event):
    if (state, event) in ROUND_TRANSITIONS:
        assert next_round_state(state, event) is ROUND_TRANSITIONS[state, event]
    else:
        with pytest.raises(TransitionRefused):
            next_round_state(state, event)


def test_every_training_state_is_reached_from_draft():
    reached = {TrainingState.DRAFT}
    while new := {to for (frm, _), to in TRAINING_TRANSITIONS.items() if frm in reached} - reached:
        reached |= new
    assert reached == set(TrainingState)


def test_every_live_training_can_be_cancelled():
    for state in TrainingState:
        assert state.ended != ((state, TrainingEvent.CANCEL) in TRAINING_TRANSITIONS)
