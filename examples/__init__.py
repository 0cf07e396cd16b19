"""Runnable examples: the simulator of payments, and one short script for each algorithm."""
