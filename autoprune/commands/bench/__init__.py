"""``autoprune bench``: size, time and accuracy of five networks before and after pruning."""
