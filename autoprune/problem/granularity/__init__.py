"""Granularities: a unit is a channel that is removed, or a set of weights that are masked."""
