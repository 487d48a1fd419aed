"""The conformance tests that plug-ins run: ours pass, and each fault is named."""

import random

import numpy as np
import pytest
import torch

from autoprune.agents.base import propose
from autoprune.agents.registry import SEARCHERS
from autoprune.envs.rewards import REWARDS
from autoprune.errors import UsageError
from autoprune.ranking.registry import RANKINGS
from autoprune.testing import check_ranking, check_reward, check_searcher
from tests.agents.searching import make


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name != "ppo"])
def test_ours_conform(name):
    check_searcher(lambda: make(name))


class Sound:
    """Random plans under the budget, by their seed."""

    def search(self, problem, ledger, seed):
        rng = np.random.default_rng(seed)

        def draw():
            counts = []
            for group in range(len(problem.structure.groups)):
                low, high = problem.budget.interval(counts)
                units = rng.uniform(low, high)
                counts.append(problem.budget.round_count(group, units, low, high))
            return problem.cost.plan(counts)

        while plans := propose(ledger, draw):
            ledger.evaluate_all(plans)


def test_a_sound_one_conforms():
    check_searcher(Sound)


class Whole(Sound):
    def search(self, problem, ledger, seed):
        ledger.evaluate({group.name: group.size for group in problem.structure.groups})


class Unaligned(Sound):
    def search(self, problem, ledger, seed):
        plan = dict(problem.cost.plan(problem.budget.smallest))
        ledger.evaluate(plan | {min(plan): plan[min(plan)] + 1})


class Idle(Sound):
    def search(self, problem, ledger, seed):
        pass


class Unseeded(Sound):
    def search(self, problem, ledger, seed):
        super().search(problem, ledger, random.SystemRandom().randrange(1000))


class Forgetful(Sound):
    """Draws by the evaluations that it had to wait for."""

    def search(self, problem, ledger, seed):
        waited = []
        ledger.evaluate(problem.budget.uniform())
        while ledger.left:
            waited += [record for record in ledger.history[-1:] if not record.recalled]
            super().search(problem, ledger, seed + len(waited))


class Careless(Sound):
    def search(self, problem, ledger, seed):
        torch.manual_seed(seed)
        super().search(problem, ledger, seed)


class Stubborn(Sound):
    """Scores plans past the ledger."""

    def search(self, problem, ledger, seed):
        ledger.evaluate(problem.budget.uniform())
        for _ in range(200):
            problem.evaluate(problem.budget.uniform())


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (Whole, "budget: a plan lies above it"),
        (Unaligned, "no multiple of 4"),
        (Unseeded, "determinism: "),
        (Careless, "random states: that of torch"),
        (Stubborn, "stop: after 3 evaluations it goes on"),
    ],
)
def test_each_fault_is_named(faulty, said):
    with pytest.raises(AssertionError, match=said):
        check_searcher(faulty)


def test_one_that_evaluates_nothing_and_what_is_none_are_named():
    with pytest.raises(AssertionError, match="none was spent"):
        check_searcher(Idle)
    with pytest.raises(UsageError, match="lacks search"):
        check_searcher(object)


@pytest.mark.parametrize("name", [name for name in RANKINGS if not RANKINGS[name].needs_data])
def test_our_rankings_conform(name):
    check_ranking(RANKINGS[name].load())


def test_faults_of_rankings_are_named():
    def changing(model, structure):
        with torch.no_grad():
            model[0].weight.mul_(1.5)
        return {group.name: torch.arange(group.size) for group in structure.groups}

    def wavering(model, structure):
        return {group.name: torch.rand(group.size) for group in structure.groups}

    def short(model, structure, calibration):
        return {group.name: torch.ones(len(calibration)) for group in structure.groups}

    with pytest.raises(AssertionError, match="differs from call to call"):
        check_ranking(wavering)
    with pytest.raises(UsageError, match=r"24 units, but importances of shape \[8\]"):
        check_ranking(short)
    with pytest.raises(AssertionError, match=r"changes 0.weight"):
        check_ranking(changing)


@pytest.mark.parametrize("name", REWARDS)
def test_our_rewards_conform(name):
    check_reward(REWARDS[name])


def test_faults_of_rewards_are_named():
    with pytest.raises(AssertionError, match="earns"):
        check_reward(lambda found: found.loss)
    with pytest.raises(UsageError, match="must be finite, not -inf"):
        check_reward(lambda found: float(np.log(found.score)) if found.score else -np.inf)
