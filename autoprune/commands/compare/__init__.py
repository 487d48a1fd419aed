"""``autoprune compare``: searchers side by side."""
