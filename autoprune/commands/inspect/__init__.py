"""``autoprune inspect``: groups, costs and pins of a network."""
