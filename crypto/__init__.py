"""Threshold CKKS for secure sums."""
