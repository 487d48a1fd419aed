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


def test_a_detector_with_its_post_processing_is_told_to_leave_it_out():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 5, 1)

        def forward(self, x):
            boxes = self.head(self.backbone(x).relu()).flatten(2).transpose(1, 2)[0]
            kept = boxes[boxes[:, 4] > 0]
            return kept[: 4 if len(kept) > 4 else 1]

    with pytest.raises(UsageError, match="backbone and heads only"):
        analyze(Detector().eval(), torch.randn(1, 1, 8, 8))
