"""``autoprune train-policy``: train one policy on several networks."""
