"""``autoprune profile``: cost of every layer."""
