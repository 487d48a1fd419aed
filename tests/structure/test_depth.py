"""Depth as a decision: what goes with a branch in counts and costs."""

from __future__ import annotations

import pytest
import torch

from autoprune.cost.model import CostModel
from autoprune.networks import zoo
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.depth import deepened, removed, settled
from autoprune.structure.slicing import Slicer
from autoprune.structure.table import BRANCH


@pytest.fixture(scope="module")
def plain() -> Structure:
    return analyze(zoo.build("resnet20").eval(), torch.randn(2, 3, 32, 32))


def test_each_branch_comes_before_what_is_in_it(plain: Structure) -> None:
    deep = deepened(plain)
    order = list(deep.sizes)
    for branch in plain.branches:
        assert deep.sizes[branch.name] == 1
        assert all(order.index(branch.name) < order.index(name) for name in branch.groups)
    assert [group for group in deep.groups if group.kind != BRANCH] == list(plain.groups)
    assert deepened(deep) is deep


def test_costs_equal_those_of_the_network_that_is_left(plain: Structure) -> None:
    model = zoo.build("resnet20").eval()
    deep = deepened(plain)
    cost, generator = CostModel(deep), torch.Generator().manual_seed(0)
    for _ in range(5):
        counts = {
            group.name: int(
                torch.randint(
                    0 if group.kind == BRANCH else 1, group.size + 1, (1,), generator=generator
                )
            )
            for group in deep.groups
        }
        kept = {name: torch.arange(count) for name, count in counts.items()}
        left = Slicer(model, deep).build(kept)
        again = CostModel(analyze(left, torch.randn(2, 3, 32, 32)))
        assert cost.macs(counts) == again.macs.dense
        assert cost.parameters(counts) == sum(one.numel() for one in left.parameters())
        assert cost.bytes(counts) == again.bytes.dense
        assert cost.macs(settled(deep, counts)) == again.macs.dense


def test_without_branches_gone_costs_are_those_of_widths(plain: Structure) -> None:
    wide, deep = CostModel(plain), CostModel(deepened(plain))
    half = {name: max(1, size // 2) for name, size in plain.sizes.items()}
    whole = half | {branch.name: 1 for branch in plain.branches}
    for name in ("macs", "parameters", "bytes", "energy"):
        assert wide.named(name)(half) == deep.named(name)(whole)  # type: ignore[misc]


def test_what_follows_from_other_counts_is_filled_in(plain: Structure) -> None:
    deep = deepened(plain)
    first, second = deep.branches[:2]
    counts = settled(deep, plain.sizes | {first.name: 0} | dict.fromkeys(second.groups, 0))
    assert [branch.name for branch in removed(deep, counts)] == [first.name, second.name]
    assert all(counts[name] == 0 for name in (*first.groups, *second.groups))
    assert counts[deep.branches[2].name] == 1
    assert settled(plain, plain.sizes) == plain.sizes
