"""Fit of the residual stream: what a shortcut lacks is in the target of its branch's last layer."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.ranking.rank import rank
from autoprune.ranking.reconstruction import Reconstruction
from autoprune.ranking.shortcuts import divided_by, settle_mean
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened, settled
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

TASK = Classification()


class Block(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first, self.one = nn.Conv2d(width, inner, 3, padding=1), nn.BatchNorm2d(inner)
        self.last, self.two = nn.Conv2d(inner, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.two(self.last(self.one(self.first(x)).relu()))).relu()


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(8, 12) for _ in range(4)))
        self.head = nn.Linear(8, 5)

    def stream(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x).relu())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stream(x).mean((2, 3)))


@pytest.fixture(scope="module")
def blocks() -> tuple[nn.Module, Split, Tensor]:
    torch.manual_seed(0)
    model = Blocks()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.3, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.3)
    smooth = nn.AvgPool2d(3, 1, 1)
    seen, fresh = (smooth(torch.randn(count, 3, 10, 10)) for count in (200, 100))
    model(seen), model(seen)  # running statistics
    model.eval()
    with torch.no_grad():
        return model, Split((seen, model(seen).argmax(1))), fresh


def distance(model: nn.Module, net: nn.Module, images: Tensor) -> float:
    with torch.no_grad():
        wanted = model.stream(images)  # type: ignore[operator]
        return float((net.eval().stream(images) - wanted).square().mean())  # type: ignore[operator]


@pytest.mark.parametrize("gone", [("blocks.0",), ("blocks.0", "blocks.2")])
def test_blocks_that_stay_make_up_for_those_that_are_gone(blocks, gone):
    model, split, fresh = blocks
    structure = deepened(analyze(model, fresh[:2]))
    ranking = rank(model, structure, "regression", task=TASK, calibration=split)
    slicer = Slicer(model, structure)
    counts = settled(structure, {**structure.sizes, **dict.fromkeys(gone, 0)})
    plan = Plan.of(counts)
    kept, weights = ranking.kept(plan), ranking.weights(plan)
    fitted = Reconstruction(model, slicer, TASK, split)(kept, weights)
    blind = replace(
        structure, branches=tuple(replace(one, ending=None) for one in structure.branches)
    )
    alone = Reconstruction(model, Slicer(model, blind), TASK, split)(kept, weights)
    assert distance(model, fitted, fresh) < 0.9 * distance(model, alone, fresh)


def test_a_network_of_which_nothing_is_gone_stays_what_it_is(blocks):
    model, split, fresh = blocks
    structure = analyze(model, fresh[:2])
    ranking = rank(model, structure, "regression", task=TASK, calibration=split)
    plan = Plan.dense(structure)
    fitted = Reconstruction(model, Slicer(model, structure), TASK, split)
    with torch.no_grad():
        found = fitted(ranking.kept(plan), ranking.weights(plan)).eval()(fresh)
        assert torch.allclose(found, model(fresh), atol=1e-3)


def test_a_target_before_a_norm_is_in_the_units_of_the_norm():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6).eval()
    nn.init.normal_(norm.weight)
    norm.weight.data[2] = 0.0  # nothing passes: nothing is asked of it
    norm.running_var = torch.rand(6) + 0.5
    lacks = torch.randn(4, 6, 1, 1)
    moved = lacks * divided_by(norm)[:, None, None]
    with torch.no_grad():
        added = norm(moved) - norm(torch.zeros_like(moved))
    wanted = lacks.clone()
    wanted[:, 2] = 0.0
    assert torch.allclose(added, wanted, atol=1e-5)
    assert divided_by(None) == 1.0 == divided_by(nn.Identity())


def test_a_settled_mean_leaves_what_is_wanted_on_average():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5).eval()
    norm.running_mean = torch.randn(5)
    wanted, given = torch.randn(50, 5), torch.randn(50, 5) + 1
    before = copy.deepcopy(norm)
    settle_mean(norm, wanted, given)
    with torch.no_grad():
        assert torch.allclose(norm(given).mean(0), before(wanted).mean(0), atol=1e-5)
