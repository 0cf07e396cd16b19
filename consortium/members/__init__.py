"""The banks' nodes: invited by a one-time token, enrolled under their own keys."""
