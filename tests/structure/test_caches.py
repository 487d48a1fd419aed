"""Results that a module keeps between passes: those of one network are not those of another."""

from typing import Any

import torch
from torch import Tensor, nn

from autoprune.problem.prune import mask, prune
from autoprune.structure.analyze import analyze
from autoprune.structure.copies import plain_copy
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer


class Cached(nn.Module):
    """Keeps its scales in evaluation, until it trains again."""

    def __init__(self) -> None:
        super().__init__()
        self.scales, self.norm = nn.Parameter(torch.rand(8) + 0.5), nn.BatchNorm1d(8)
        self.kept: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> "Cached":
        self.kept = {} if mode else self.kept
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.compiler.is_exporting():
            return self.norm(x) * self.scales.exp()
        if "scales" not in self.kept:
            self.kept["scales"] = self.scales.exp().detach()
        return self.norm(x) * self.kept["scales"]


def build() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), Cached(), nn.Linear(8, 3)).eval()


X = torch.randn(4, 5)


def test_a_network_that_has_run_is_pruned_like_one_that_has_not() -> None:
    fresh, used = build(), build()
    used(X)
    kept = used[1].kept
    structure = analyze(used, X)
    assert structure.sizes == analyze(fresh, X).sizes == {"0": 8}
    plan = Plan.uniform(structure, 0.5)
    compact, masked = prune(used, structure, plan), mask(used, structure, plan)
    assert torch.equal(compact(X), prune(fresh, structure, plan)(X))
    torch.testing.assert_close(compact(X), masked(X))
    assert used[1].kept is kept, "the network of the user is not changed"


def test_candidates_of_one_slicer_do_not_keep_results_of_another() -> None:
    net = build()
    slicer = Slicer(net, analyze(net, X))
    for units in ([0, 1, 2], [3, 4], [5, 6, 7]):
        kept = {"0": torch.tensor(units)}
        assert torch.equal(slicer(kept)(X), slicer.build(kept)(X))
    weights = {"1.scales": torch.zeros(8)}
    assert torch.equal(slicer(kept, weights)(X), slicer.build(kept, weights)(X))


def test_modes_stay() -> None:
    net: Any = build()
    net[1].train()
    net[1].norm.eval()
    twin: Any = plain_copy(net)
    assert [one.training for one in twin.modules()] == [one.training for one in net.modules()]
