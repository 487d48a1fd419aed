"""``autoprune prune``: prune by a rule, without search."""
