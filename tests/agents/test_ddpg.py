"""DDPG with a reward model: better than random search, and what each part changes."""

import numpy as np
import pytest

from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher
from autoprune.agents.initial_plans import least_error, warm_start_plans
from autoprune.agents.registry import searcher
from tests.agents.searching import search
from tests.landscape import chain_landscape


def score(problem, name, evaluations, seed=0):
    return search(problem, searcher(name), evaluations, seed).best.evaluation.score


def test_ddpg_beats_random_and_uniform_at_equal_evaluations():
    problem = chain_landscape(1, groups=12)
    agent = DDPGSearcher(DDPGConfig(gradient_steps=10))
    ddpg = search(problem, agent, 40).best.evaluation.score
    uniform, rand = (score(problem, name, 40) for name in ("uniform", "random"))
    assert ddpg > rand > uniform
    # Not the search around it alone: the actor by itself makes a better plan too.
    assert problem.evaluate(agent.policy.plan(problem)).score > uniform


BARE = DDPGConfig(seeded=False, knapsack=False, imagine=False, gradient_steps=10)
"""What AMC does: every walk of the actor is evaluated, and nothing else is known."""


def test_a_bare_agent_is_given_no_plan_and_still_learns():
    problem = chain_landscape(1, groups=12)
    bare = search(problem, DDPGSearcher(BARE), 60, seed=2)
    given = [problem.budget.uniform(), least_error(problem)]
    assert not {record.plan for record in bare.history} & set(given)
    losses = [record.evaluation.loss for record in bare.history]
    assert np.mean(losses[-12:]) < np.mean(losses[:12])
    assert bare.history == search(problem, DDPGSearcher(BARE), 60, seed=2).history


def test_the_knapsack_can_be_left_out_and_what_is_given_stays():
    problem = chain_landscape(1, groups=12)
    options = {"warm_up": 1, "gradient_steps": 5}
    with_it, without = (
        search(problem, DDPGSearcher(DDPGConfig(knapsack=knapsack, **options)), 12)
        for knapsack in (True, False)
    )
    seeds = len(warm_start_plans(problem))
    assert with_it.history[:seeds] == without.history[:seeds]
    assert with_it.history[seeds].plan != without.history[seeds].plan


@pytest.mark.parametrize("led", [True, False])
def test_what_the_actor_learned_shows_only_where_it_leads(led):
    problem = chain_landscape(1, groups=12)
    slow, fast = (
        search(problem, DDPGSearcher(DDPGConfig(led=led, warm_up=1, learning_rate=rate)), 24)
        for rate in (1e-4, 1e-1)
    )
    assert (slow.history == fast.history) == (not led)
