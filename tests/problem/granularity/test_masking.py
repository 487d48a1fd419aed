"""Rankings of single weights: exact masks, exact costs, magnitudes and errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autoprune.networks.bitmap import pack
from autoprune.networks.save import state_tensors
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.analyze import analyze
from tests.problem.granularity.networks import PATTERNS, counted_macs, masked, plan_at


@settings(max_examples=15)
@given(data=st.data(), name=st.sampled_from(PATTERNS), method=st.sampled_from(("l2", "random")))
def test_masks_and_costs_equal_an_independent_count_at_any_plan(
    net, by_granularity, data, name, method
):
    units = by_granularity[name]
    ranking = units.rank(net, method)
    share = st.floats(0, 1)
    plan = plan_at(units, [data.draw(share) for _ in units.decisions.groups])
    masks = ranking.masks(plan)
    for layout in units.layouts:
        assert int(masks[layout.tensor].sum()) == layout.kept(plan[layout.group])
    model = masked(net, units, ranking, plan)
    for key, value in model.state_dict().items():
        if key in masks:
            assert torch.equal(value != 0, masks[key])
            assert torch.equal(value[masks[key]], net.state_dict()[key][masks[key]])
    assert units.cost.macs(plan) == counted_macs(model)
    present = sum(int((p != 0).sum()) for n, p in model.named_parameters() if n in masks)
    others = sum(p.numel() for n, p in model.named_parameters() if n not in masks)
    assert units.cost.parameters(plan) == present + others
    stored = pack(state_tensors(model), masks).values()
    assert units.cost.bytes(plan) == sum(v.numel() * v.element_size() for v in stored)


@pytest.mark.parametrize("name", ["2:4", "1:4", "3:8"])
def test_at_its_least_every_layer_holds_the_pattern_along_its_inputs(net, by_granularity, name):
    units = by_granularity[name]
    n, m = Granularity.parse(name).block
    weights = units.rank(net, "l2").weights(plan_at(units, [0.0] * len(units.layouts)))
    for layout in units.layouts:
        lines = weights[layout.tensor].movedim(1, -1).flatten(1)
        whole = lines.shape[1] // m * m
        assert bool(((lines[:, :whole].reshape(-1, m) != 0).sum(1) == n).all())
        assert bool((lines[:, whole:] != 0).all())


def test_what_stays_is_the_largest_and_of_equal_ones_the_first():
    net = nn.Linear(8, 4, bias=False)
    weight = torch.ones(4, 8)
    weight[0, 1], weight[2, 6] = -5.0, 3.0
    net.weight.data = weight
    structure = analyze(net, torch.randn(2, 8))
    units = PruningUnits.of(structure, Granularity.parse("weight"))
    mask = units.rank(net, "l2").masks({"weight": 5})["weight"]
    expected = torch.zeros(4, 8, dtype=torch.bool)
    expected[0, :4], expected[2, 6] = True, True
    assert torch.equal(mask, expected)
    units = PruningUnits.of(structure, Granularity.parse("2:4"))
    mask = units.rank(net, "l2").masks({"weight": 1})["weight"]
    assert mask[1].tolist() == [True, True, False, False] * 2
    assert mask[2].tolist() == [True, True, False, False, True, False, True, False]
    # One more unit: of equal losses the first row is whole again.
    assert units.rank(net, "l2").masks({"weight": 2})["weight"].sum(1).tolist() == [8, 4, 4, 4]


def test_errors_are_the_share_of_the_squares_that_is_lost(net, by_granularity):
    for name in ("weight", "2:4"):
        units = by_granularity[name]
        ranking = units.rank(net, "l2")
        for layout in units.layouts:
            weight = net.state_dict()[layout.tensor].double()
            curve = ranking.errors[layout.group]
            assert curve[-1] == 0
            assert (np.diff(curve) <= 0).all()
            for count in (1, layout.units // 2 or 1):
                plan = dict.fromkeys(units.decisions.sizes, 1) | {layout.group: count}
                gone = ~ranking.masks(plan)[layout.tensor]
                lost = float((weight[gone] ** 2).sum() / (weight**2).sum())
                assert curve[count] == pytest.approx(lost, abs=1e-6)


def test_what_was_pruned_before_goes_first(net, by_granularity):
    for name in PATTERNS:
        units = by_granularity[name]
        ranking = units.rank(net, "random", seed=1)
        before = ranking.masks(plan_at(units, [0.6] * len(units.layouts)))
        again = units.rank(net, "l2", before=before)
        fewer = again.masks(plan_at(units, [0.3] * len(units.layouts)))
        for key, mask in fewer.items():
            assert not bool((mask & ~before[key]).any()), (name, key)


def test_ranking_changes_nothing_and_repeats(net, by_granularity):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    first, second = (by_granularity["2:4"].rank(net, "random", seed=3) for _ in range(2))
    assert all(torch.equal(first.stages[key], second.stages[key]) for key in first.stages)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
