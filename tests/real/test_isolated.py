"""Rows of networks, measured in processes of their own."""

import os
import time

import pytest
from torch import nn

from tests.real import isolated
from tests.real.network import Network


def spin(network: Network) -> isolated.Row:
    """Use the processor for ever."""
    while True:
        network.build()


def die(network: Network) -> isolated.Row:
    """End without a word."""
    os._exit(3)


def sleep(network: Network) -> isolated.Row:
    """Wait longer than the limit, as on a busy machine, and spend nothing."""
    time.sleep(1.2)
    return {"left": 0.5}


def fail(network: Network) -> isolated.Row:
    raise ValueError("no such layer\nmore")


@pytest.mark.parametrize(
    ("tool", "expected"),
    [(spin, "no end in 1 s"), (die, "the process died"), (sleep, None), (fail, "ValueError: no")],
)
def test_only_processor_time_ends_a_row(tool, expected, monkeypatch):
    monkeypatch.setitem(isolated.TOOLS, "tool", tool)
    row = isolated.row("tool", Network("net", nn.Identity, lambda: None), 1)
    if expected is None:
        assert row == {"left": 0.5}
    else:
        assert row["failed"].startswith(expected)
