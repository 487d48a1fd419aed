"""The five-network table: size, time and accuracy before and after pruning at one rate."""
