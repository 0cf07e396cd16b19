"""The `bank-node` command."""

from bank_node.cli.main import main

__all__ = ["main"]
