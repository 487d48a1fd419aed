"""Ranking by regression: errors that are the errors."""

import pytest
import torch
from torch import nn

from autoprune.data import Split
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import RegressionConfig, collect
from autoprune.ranking.ordering import Ranking
from autoprune.ranking.regression import eliminated, refitting
from autoprune.structure import Structure
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer
from tests.small_nets import TASK, images, output_error, regression

SENSITIVITY = {"c.weight": 3.0, "d.weight": 0.5, "e.weight": 2.0, "head.weight": 7.0}


READERS = {"a": ["c"], "b": ["c"], "c": ["d", "head"], "d": ["e"]}


def weighted(net: tuple[nn.Module, Structure], data: Split) -> Ranking:
    """Rank by known sensitivities and almost no damping, so that errors can be computed here."""
    model, structure = net
    config = RegressionConfig(rows=10**9, damping=1e-9)
    moments = collect(model, find_consumers(model, structure), TASK, data, config)
    return refitting("regression", model, structure, moments, lambda _: SENSITIVITY, eliminated)


@pytest.mark.parametrize("name", ["c", "d"])
def test_errors_are_what_pruning_a_group_does_to_its_consumers(
    concat_net: tuple[nn.Module, Structure], name: str
) -> None:
    model, structure = concat_net
    data = images(64)
    ranking = weighted(concat_net, data)
    for count in (1, structure.sizes[name] // 2):
        plan = Plan.of(structure.sizes | {name: count})
        measured = sum(
            SENSITIVITY[f"{one}.weight"] * output_error(model, ranking, plan, one, data)
            for one in READERS[name]
        )
        assert ranking.errors[name][count] == pytest.approx(measured, rel=1e-3)


def test_errors_of_groups_read_side_by_side_add_up_where_all_shrink_alike(
    concat_net: tuple[nn.Module, Structure],
) -> None:
    """Alone, either would be made up for by the other."""
    model, structure = concat_net
    data = images(64)
    ranking = weighted(concat_net, data)
    for a, b in ((3, 4), (0, 0)):
        kept = {"a": a, "b": b}
        whole = ranking.errors["a"][a] + ranking.errors["b"][b]
        if a:
            plan = Plan.of(structure.sizes | kept)
            joint = SENSITIVITY["c.weight"] * output_error(model, ranking, plan, "c", data)
            assert whole == pytest.approx(joint, rel=1e-3)
            for name in kept:
                alone = Plan.of(structure.sizes | {name: kept[name]})
                by_itself = output_error(model, ranking, alone, "c", data)
                assert ranking.errors[name][kept[name]] > SENSITIVITY["c.weight"] * by_itself
        else:
            assert whole == pytest.approx(SENSITIVITY["c.weight"], rel=1e-3)


@pytest.mark.parametrize("net", ["plain_net", "concat_net"])
def test_regression_keeps_the_output_better_than_l1(
    net: str, request: pytest.FixtureRequest
) -> None:
    model, structure = request.getfixturevalue(net)
    slicer, plan = Slicer(model, structure), Plan.uniform(structure, 0.5)
    fresh = images(64, seed=0).content[0]
    errors = {}
    for method in ("l1", "lasso", "regression"):
        ranking = regression((model, structure), images(256), method)
        with torch.no_grad():
            compact = slicer(ranking.kept(plan), ranking.weights(plan))(fresh)
            errors[method] = float((compact - model(fresh)).square().mean())
    assert errors["regression"] < 0.5 * errors["l1"]
    assert errors["lasso"] < 0.7 * errors["l1"]
