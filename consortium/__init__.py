"""The consortium's service."""
