"""``autoprune match``: feature matching of the network of a run, without labels."""
