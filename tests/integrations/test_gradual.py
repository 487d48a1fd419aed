"""Pruning inside a training that is not ours: rounds, budgets, and removed units held at zero."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import autoprune
from autoprune.errors import UsageError
from autoprune.integrations.gradual import GradualPruner, Rounds
from tests.integrations.loops import network, samples, train

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_hold_what_rank_0_chose_at_zero_and_cut_it_in_the_end(tmp_path):
    """Wrappers hold on to the parameters; the ranks of this test prefer other units."""
    command = [sys.executable, "-m", "tests.integrations.ranks"]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path)], cwd=ROOT) for rank in (0, 1)]
    try:
        assert [rank.wait(120) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    first, second = (json.loads((tmp_path / f"ranks.{rank}.json").read_text()) for rank in (0, 1))
    kept = first["plan"]["0"]
    assert first["same"] and first["zeros"] == [False] * kept + [True] * (8 - kept)
    assert first["error"] < 1e-4 and first["loss"] < 0.5
    assert first["widths"] == [kept, first["plan"]["3"]]
    for fact in ("zeros", "plan", "widths", "weights"):
        assert first[fact] == second[fact], fact


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
        ({"ranking": "regression"}, "needs calibration data"),
        ({"ranking": "best"}, "unknown ranking 'best'"),
        ({"heuristic": "wisest"}, "unknown heuristic 'wisest'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        Rounds(**options)


def test_an_optimizer_of_another_model_is_refused():
    model = network()
    with pytest.raises(UsageError, match="no parameter of the model"):
        GradualPruner(Rounds(), samples()[0][:2]).step(model, [adam(network())], 0)


def test_an_optimizer_that_cannot_follow_leaves_the_model_whole():
    model = network()
    optimizer = adam(model)
    model(samples()[0]).sum().backward()
    optimizer.step()
    optimizer.state[model[3].weight]["exp_avg"] = torch.zeros(12)  # as of a factored one
    with pytest.raises(UsageError, match=r"Adam keeps 'exp_avg' of '3.weight' in another shape"):
        GradualPruner(Rounds(), samples()[0][:2]).step(model, [optimizer], 0)
    assert model[0].out_channels == 8
