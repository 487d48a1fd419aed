"""``autoprune suite``: searchers on frozen tables of evaluated plans."""
