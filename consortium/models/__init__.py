"""Released models: their cards, and which of each name is in force."""
