"""What holds for every network of the catalog when one half of every group is kept."""

from __future__ import annotations

import pytest

from tests.real import ours
from tests.real.bounds import most
from tests.real.catalog import missing, networks


def names(library: str) -> list[str]:
    """Return the names of a library's networks; a test that skips with a reason without it."""
    if missing(library):
        reason = f"{library} is not installed: make models"
        return [pytest.param(library, marks=pytest.mark.skip(reason=reason))]
    return list(networks(library))


def check(library: str, name: str) -> None:
    """Prune a network by half: it runs in both modes as its masked twin, and little is left."""
    network = networks(library)[name]
    outcome = ours.halve(network)
    assert bool(outcome.structure.groups) == (most(name) < 1), "some are known to be pinned whole"
    for mode, error in outcome.errors.items():
        assert error <= ours.TOLERANCE, f"wrong in {mode} mode"
    assert outcome.share <= most(name), [pin.reason for pin in outcome.structure.pinned]
    assert outcome.macs_left < outcome.macs or most(name) == 1
