"""Layout: division of tensors into units."""

import torch
from torch import nn

from autoprune.problem.granularity.layout import STEPS
from autoprune.problem.granularity.parse import Granularity
from autoprune.problem.granularity.units import PruningUnits
from autoprune.structure.analyze import analyze
from tests.problem.granularity.networks import PATTERNS, plan_at


def test_rows_too_short_for_the_pattern_are_named(by_granularity):
    (pinned,) = by_granularity["2:4"].decisions.pinned
    assert (pinned.name, pinned.reason) == ("short.weight", "its rows are shorter than 2:4")
    assert "short" in by_granularity["weight"].decisions.sizes


def test_a_large_layer_has_few_units():
    net = nn.Sequential(nn.Linear(1000, 1031), nn.Linear(1031, 7))
    structure = analyze(net, torch.randn(2, 1000))
    for name in PATTERNS:
        units = PruningUnits.of(structure, Granularity.parse(name))
        assert all(group.size <= STEPS + 1 for group in units.decisions.groups)
        ranking = units.rank(net, "l2")
        assert all(len(ranking.errors[g.name]) == g.size + 1 for g in units.decisions.groups)
        least = plan_at(units, [0.0, 0.0])
        kept = {key: int(mask.sum()) for key, mask in ranking.masks(least).items()}
        if name == "2:4":  # 1031 is odd: the last three inputs of the second layer stay
            assert kept == {"0.weight": 1000 * 1031 // 2, "1.weight": (1028 // 2 + 3) * 7}
