"""``autoprune list``: show all runs of a directory."""
