"""``autoprune apply``: prune a network by a trained policy."""
