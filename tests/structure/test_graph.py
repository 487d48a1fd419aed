"""Export of a model to a graph."""

import pytest
import torch
from torch import Tensor, nn

from autoprune.errors import UsageError
from autoprune.structure.analyze import analyze
from tests.families import Net


def test_control_flow_is_refused_with_its_place() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(x) if x.sum() > 0 else m.head(-x)

    with pytest.raises(UsageError, match="cannot be exported") as caught:
        analyze(Net(forward, head=nn.Linear(4, 2)), torch.randn(2, 4))
    assert "test_graph.py" in str(caught.value)
    assert "\n" not in str(caught.value)
