"""A training's life: invitation, key ceremony, rounds, evaluation, release, farewell."""
