"""Pruning inside a training that is not ours: rounds, budgets, and removed units held at zero."""

import copy

import pytest
import torch

import autoprune
from autoprune.errors import UsageError
from autoprune.integrations import gradual
from autoprune.integrations.gradual import GradualPruner, Rounds
from tests.integrations.loops import network, samples, train


def adam(model):
    return torch.optim.Adam(model.parameters(), 0.02)


def macs(model):
    return autoprune.CostModel(autoprune.analyze(model, samples()[0][:2])).macs.dense


def test_a_network_is_cut_in_place_and_trains_on():
    model = network()
    dense, conv = macs(model), model[0]
    pruner = GradualPruner(Rounds("0.5flops", at=3), samples()[0][:2])
    loss = train(model, adam(model), pruner, 40)
    assert model[0] is conv and model[0].out_channels == pruner.plan["0"] < 8
    assert 0.4 * dense < macs(model) <= 0.5 * dense
    assert loss < 0.2


def test_rounds_remove_the_same_share_of_what_is_left_and_end_on_the_budget():
    model, seen = network(), []
    dense = macs(model)
    pruner = GradualPruner(Rounds("0.25flops", at=2, rounds=2, every=3), samples()[0][:2])
    optimizer = adam(model)
    for step in range(9):
        pruner.step(model, [optimizer], step)
        seen.append(model[0].out_channels * model[3].out_channels)
    assert seen[:2] == [96, 96] and seen[2] == seen[4] > seen[5] == seen[8]
    assert macs(model) <= 0.25 * dense
    between = GradualPruner(Rounds("0.25flops", rounds=2), samples()[0][:2])
    twin = network()
    between.step(twin, [adam(twin)], 0)
    assert 0.35 * dense < macs(twin) <= 0.5 * dense


def test_held_at_zero_is_the_cut_network(monkeypatch):
    """Under several processes, whose wrappers hold on to the parameters."""
    monkeypatch.setattr(gradual, "_processes", lambda: 2)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, source: None)
    model = network()
    parameters = {id(one) for one in model.parameters()}
    pruner = GradualPruner(Rounds("0.5flops", at=3), samples()[0][:2])
    before = copy.deepcopy(pruner)
    loss = train(model, adam(model), pruner, 40)
    assert model[0].out_channels == pruner.plan["0"] < 8 and loss < 0.2
    held = network()
    optimizer = adam(held)
    for step in range(6):
        before.step(held, [optimizer], step)
        held(samples()[0][:32]).square().mean().backward()
        optimizer.step()
    before.step(held, [optimizer], 6)
    assert {id(one) for one in model.parameters()} != parameters
    gone = (held[0].weight.flatten(1) == 0).all(1)
    assert int(gone.sum()) == 8 - before.plan["0"]
    outputs = held.eval()(samples()[0])
    before.finish(held)
    torch.testing.assert_close(held(samples()[0]), outputs)
    assert held[0].out_channels == before.plan["0"]


def test_a_plan_and_a_ranking_of_ones_own_are_carried_out():
    def last_first(model, structure):
        return {group.name: torch.arange(group.size) for group in structure.groups}

    model = network()
    weights = model[0].weight.detach().clone()
    rounds = Rounds(plan={"0": 3, "3": 5}, ranking=last_first)
    GradualPruner(rounds, samples()[0][:2]).step(model, [adam(model)], 0)
    assert torch.equal(model[0].weight, weights[-3:]) and model[3].out_channels == 5


def test_layers_that_are_kept_stay_whole():
    model = network()
    rounds = Rounds("0.6flops", keep=["0"])
    GradualPruner(rounds, samples()[0][:2]).step(model, [adam(model)], 0)
    assert model[0].out_channels == 8 and model[3].out_channels < 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": "half"}, "half"),
        ({"at": -1}, "at must be"),
        ({"rounds": 0}, "rounds must be"),
        ({"every": 0.5}, "every must be"),
        ({"plan": {"0": 3}, "rounds": 2}, "in one round"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        Rounds(**options)


def test_an_optimizer_of_another_model_is_refused():
    model = network()
    with pytest.raises(UsageError, match="no parameter of the model"):
        GradualPruner(Rounds(), samples()[0][:2]).step(model, [adam(network())], 0)
