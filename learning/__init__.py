"""Federated algorithms as state machines over secure sums."""
