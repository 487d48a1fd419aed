"""A new ranking, searcher, reward or cost is one module and one line of a registry."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import autoprune
from autoprune.agents.registry import SEARCHERS, SearcherEntry, searcher
from autoprune.cost.budget import Budget
from autoprune.cost.kind import CostKind, Unit
from autoprune.cost.model import CostModel
from autoprune.cost.registry import COSTS
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import REWARDS, Reward
from autoprune.errors import UsageError
from autoprune.foundation.progress import Silent
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.ledger import Ledger
from autoprune.ranking.registry import RANKINGS, RankingEntry
from autoprune.structure.table import Product
from autoprune.training.config import FitConfig
from tests.landscape import chain_landscape


@pytest.fixture
def plugin(monkeypatch):
    """A module that autoprune knows nothing of."""
    module = ModuleType("my_plugin")
    monkeypatch.setitem(sys.modules, "my_plugin", module)
    return module


def test_a_ranking_is_a_function_and_a_line(plugin, tmp_path, monkeypatch):
    def backwards(model, structure, seed):
        """Rank units by their index, the last first."""
        return {
            group.name: (torch.arange(group.size).flip(0), np.arange(group.size, -1, -1.0))
            for group in structure.groups
        }

    plugin.backwards = backwards
    monkeypatch.setitem(RANKINGS, "backwards", RankingEntry("my_plugin:backwards"))
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    structure = autoprune.analyze(model, torch.randn(2, 3))
    plan = autoprune.Plan.uniform(structure, 0.5)
    compact = autoprune.prune(model, structure, plan, ranking="backwards")
    assert torch.equal(compact[0].weight, model[0].weight[3:])
    monkeypatch.chdir(tmp_path)
    options = {"finetune_epochs": 0, "baseline": False, "workers": 1, "run": "run"}
    asked = SearchConfig(budget="0.5flops", agent="uniform", ranking="backwards", **options)
    quick = Tuning(training=FitConfig(epochs=1, batch_size=64))
    assert run_search(asked, Silent(), quick).ranking == "backwards"


def test_a_searcher_is_a_class_and_a_line(plugin, monkeypatch):
    class Smallest:
        """Evaluates the smallest plan there is."""

        def search(self, problem, ledger, seed):
            ledger.evaluate(problem.cost.plan(problem.budget.smallest))

    plugin.Smallest = Smallest
    monkeypatch.setitem(SEARCHERS, "smallest", SearcherEntry("my_plugin:Smallest"))
    problem = chain_landscape(0, groups=3)
    ledger = Ledger(problem, 5)
    searcher("smallest").search(problem, ledger, seed=0)
    assert [record.plan for record in ledger.history] == [
        problem.cost.plan(problem.budget.smallest)
    ]


def test_a_reward_is_an_object_and_a_line_and_reaches_agent_and_environment(monkeypatch):
    seen = []
    reward = Reward("squared", lambda found: seen.append(found) or found.score**2)
    monkeypatch.setitem(REWARDS, "squared", reward)
    problem = chain_landscape(0, groups=3)
    environment = LayerPruning(problem, reward="squared")
    environment.reset()
    earned = 0.0
    for _ in range(environment.context.length):
        _, earned, _, _, info = environment.step(np.zeros(1, np.float32))
    assert earned == info["evaluation"].score ** 2
    said = []
    agent = searcher("ddpg", said.append, REWARDS["squared"])
    agent.search(problem, ledger := Ledger(problem, 12), seed=0)
    assert {record.evaluation for record in ledger.history} <= set(seen)
    scores = {record.evaluation.score**2 for record in ledger.history}
    assert {metrics["reward_squared"] for metrics in said} <= scores


def test_a_cost_is_an_object_and_a_line(monkeypatch):
    def writes(network):
        """Activations that layers write."""
        return (Product(1, (layer.writes,)) for layer in network.structure.layers)

    kind = CostKind("writes", (Unit("activations", ("acts",)),), writes)
    monkeypatch.setitem(COSTS, "writes", kind)
    structure = chain_landscape(0, groups=3).structure
    cost = CostModel(structure)
    budget = Budget.parse("0.5acts").bind(cost)
    plan = budget.uniform()
    layers = [layer.writes for layer in structure.layers]
    counted = sum(e.fixed + sum(plan[name] * times for name, times in e.terms) for e in layers)
    dense = sum(
        e.fixed + sum(structure.sizes[name] * times for name, times in e.terms) for e in layers
    )
    assert cost.named("writes")(plan) == counted <= 0.5 * dense == 0.5 * cost.named("writes").dense
    assert budget.name == "0.5activations"


def test_what_is_not_registered_is_refused_with_what_is():
    for parse, known in (
        (lambda: searcher("smallest"), "ddpg"),
        (lambda: Budget.parse("0.5acts"), "0.5flops"),
    ):
        with pytest.raises(UsageError) as refused:
            parse()
        assert known in refused.value.hint
