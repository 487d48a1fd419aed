"""The network, its structure, and its units at every granularity."""

import pytest
import torch

from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.analyze import analyze
from tests.problem.granularity.networks import PATTERNS, Mixed


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Mixed().eval()


@pytest.fixture(scope="module")
def structure(net):
    return analyze(net, torch.randn(2, 3, 8, 8))


@pytest.fixture(scope="module")
def by_granularity(structure):
    return {name: PruningUnits.of(structure, Granularity.parse(name)) for name in PATTERNS}
