"""Small networks with their structures."""

import pytest
from torch import nn

from autoprune.structure import Structure
from tests.small_nets import concat, plain, structure_of


@pytest.fixture(scope="module")
def plain_net() -> tuple[nn.Module, Structure]:
    model = plain()
    return model, structure_of(model)


@pytest.fixture(scope="module")
def concat_net() -> tuple[nn.Module, Structure]:
    model = concat()
    return model, structure_of(model)
