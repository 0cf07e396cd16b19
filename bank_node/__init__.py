"""A bank's node: it runs beside the bank's data."""
