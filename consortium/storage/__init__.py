"""What the stored bodies take, and their end: a plan's `retention_days` after its training has ended."""
