"""A bank's node: it works beside the bank's data, makes only outgoing connections, and keeps the bank's keys."""
