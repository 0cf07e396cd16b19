"""Where the bank's rows come from: a port and its file-backed implementations."""

from bank_node.sources.port import DataSource, TableDescription, open_source

__all__ = ["DataSource", "TableDescription", "open_source"]
