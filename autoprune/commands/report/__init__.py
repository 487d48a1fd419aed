"""``autoprune report``: show a run."""
