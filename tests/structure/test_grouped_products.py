"""Experts in one product of groups of rows, each with a matrix of its own."""

import torch
from torch import Tensor, nn

from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze, verify
from autoprune.structure.plan import Plan


@torch.library.custom_op("autoprune_tests::grouped_mm_fallback", mutates_args=())
def grouped_mm(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Multiply the rows up to each end by the next matrix, as libraries do where torch cannot."""
    parts = rows.tensor_split(ends.cpu()[:-1])
    return torch.cat([part @ one for part, one in zip(parts, weight, strict=True)])


@grouped_mm.register_fake
def _(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[2])


class Experts(nn.Module):
    """Two experts as one parameter; ``turned`` keeps them as [experts, out, in]."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        up, down = torch.randn(2, 8, 24) / 3, torch.randn(2, 12, 8) / 3
        self.turned = turned
        self.up = nn.Parameter(up.mT.contiguous() if turned else up)
        self.down = nn.Parameter(down.mT.contiguous() if turned else down)
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        up, down = (one.mT if self.turned else one for one in (self.up, self.down))
        ends = torch.tensor([3, len(x)], dtype=torch.int64)
        gate, value = grouped_mm(self.first(x), up, ends).chunk(2, -1)
        return self.last(grouped_mm(gate.sigmoid() * value, down, ends))


def test_experts_lose_units_alike() -> None:
    x = torch.randn(9, 5)
    for turned in (False, True):
        torch.manual_seed(0)
        net = Experts(turned).eval()
        structure = analyze(net, x)
        assert structure.sizes == {"first": 8, "up": 12, "down": 8}
        assert verify(net, structure, x).ok
        plan = Plan.uniform(structure, 0.5)
        compact = prune(net, structure, plan)
        torch.testing.assert_close(compact(x), mask(net, structure, plan)(x))
        shapes = [(2, 4, 12), (2, 6, 4)]
        if turned:
            shapes = [(2, 12, 4), (2, 4, 6)]
        assert [tuple(one.shape) for one in (compact.up, compact.down)] == shapes
        macs = {one.weight: sum(product(plan) for product in one.macs) for one in structure.layers}
        assert (macs["up"], macs["down"]) == (4 * 12, 6 * 4), "a row meets one expert"
