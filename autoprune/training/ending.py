"""Ends of a training before its last step."""

from autoprune.errors import AutopruneError


class Diverged(AutopruneError):
    """A training whose loss or weights became NaN or infinite."""


class Stopped(Exception):
    """Signal of ``on_epoch`` that a training ends after the epoch that is done."""
