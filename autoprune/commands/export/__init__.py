"""``autoprune export``: write a pruned network for other programs."""
