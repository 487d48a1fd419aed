"""Conformance of rankings: a valid order of every group, the same each time, nothing changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.foundation import plugins
from autoprune.ranking.rank import rank
from autoprune.testing.toy import OUTPUTS, toy_network


def check_ranking(function: Callable[..., Mapping[str, Any]]) -> None:
    """Check a ranking function (:mod:`autoprune.ranking.own`) on a toy network.

    Raises UsageError for a result of another form, and AssertionError if it changes the model or
    differs from call to call.
    """
    network, structure, inputs = toy_network()
    before = copy.deepcopy(network.state_dict())
    name = plugins.name_of(function)
    calibration = Split((inputs, torch.arange(len(inputs)) % OUTPUTS))
    with plugins.supplied({("rankings", name): function}):
        first, again = (
            rank(
                network,
                structure,
                name,
                task=Classification(),
                calibration=calibration,
                seed=0,
            )
            for _ in range(2)
        )
    for key, value in network.state_dict().items():
        if not torch.equal(value, before[key]):
            raise AssertionError(f"the ranking changes {key} of the model")
    for group in structure.groups:
        if not torch.equal(first.orders[group.name], again.orders[group.name]):
            raise AssertionError(f"the order of {group.name} differs from call to call")
