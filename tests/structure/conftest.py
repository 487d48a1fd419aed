"""Every architecture family, analyzed."""

import pytest
import torch
from torch import nn

from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from tests.families import FAMILIES, Family


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> tuple[Family, nn.Module, object, Structure]:
    family = FAMILIES[request.param]
    torch.manual_seed(0)
    model, inputs = family.build().eval(), family.inputs()
    for buffer in [*model.buffers(), *model.parameters()]:
        if buffer.is_floating_point() and buffer.dim() < 2:
            buffer.data.add_(torch.rand(buffer.shape))
    return family, model, inputs, analyze(model, inputs)
