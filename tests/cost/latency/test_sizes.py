"""Sizes of operations as functions of the plan."""

import numpy as np
import pytest
import torch

from autoprune.cost.latency.calls import Recorder
from autoprune.cost.latency.model import first_units
from autoprune.cost.latency.sizes import sized_calls
from autoprune.networks.execution import Form
from autoprune.networks.zoo import build
from autoprune.structure.slicing import Slicer
from tests.timed_net import TASK, Mixed, batch, of


@pytest.mark.parametrize("make", [Mixed, lambda: build("digits-resnet")], ids=["mixed", "resnet"])
def test_sizes_of_every_operation_are_those_of_the_compact_network(make):
    model, structure, choices = of(make)
    calls = sized_calls(model, structure, TASK, batch(), Form(), (), choices)
    counts = np.array([options[len(options) // 2] for options in choices])
    compact = Slicer(model, structure)(first_units(structure, counts))
    with torch.inference_mode(), Recorder() as recorder:
        compact(batch()[0])
    assert [call.call.name for call in calls] == [call.name for call in recorder.calls]
    assert [call.at(counts) for call in calls] == [call.sizes for call in recorder.calls]
    assert any("conv2d" in call.call.name for call in calls)
