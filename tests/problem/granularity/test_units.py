"""Units of a network."""

import pytest
import torch
from torch import nn

from autoprune.errors import UsageError
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.analyze import analyze


def test_a_network_without_a_row_that_long_has_nothing_to_prune():
    structure = analyze(nn.Linear(6, 3), torch.randn(2, 6))
    with pytest.raises(UsageError, match="nothing in the network can be pruned") as error:
        PruningUnits.of(structure, Granularity.parse("1:8"))
    assert "shorter than 1:8" in str(error.value)
    PruningUnits.of(structure, Granularity.parse("1:6"))
