"""The `consortium` command."""

from consortium.cli.main import main

__all__ = ["main"]
