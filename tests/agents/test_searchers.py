import dataclasses
import json
import math
import random
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher
from autoprune.agents.initial_plans import baseline_plans, least_error, warm_start_plans
from autoprune.agents.noise import Decay, truncated_normal
from autoprune.agents.policy import Policy
from autoprune.agents.ppo import PPOConfig, PPOSearcher
from autoprune.agents.registry import SEARCHERS, searcher
from autoprune.agents.reward_model import RewardModel
from autoprune.agents.rollouts import retrace, roll_out
from autoprune.envs.walk import ENTRIES, VERSION, WalkContext, curves, initial, observe, transition
from autoprune.errors import DamagedError, UsageError
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.scorer import FunctionScorer
from tests.landscape import chain_landscape, landscape, residual_landscape
from tests.synthetic import chain, structures

LEARNERS = {
    "ddpg": lambda **kw: DDPGSearcher(DDPGConfig(warm_up=2, gradient_steps=5), **kw),
    "ppo": lambda **kw: PPOSearcher(PPOConfig(rehearsal=8), **kw),
}


def make(name, **options):
    """A searcher, the learning ones with little training."""
    return LEARNERS[name](**options) if name in LEARNERS else searcher(name)


def found(problem, agent, evaluations, seed=0):
    ledger = Ledger(problem, evaluations)
    agent.search(problem, ledger, seed)
    return ledger


def score(problem, name, evaluations, seed=0):
    return found(problem, searcher(name), evaluations, seed).best.evaluation.score


def test_ddpg_beats_random_and_uniform_at_equal_evaluations():
    problem = chain_landscape(1, groups=12)
    agent = DDPGSearcher(DDPGConfig(gradient_steps=10))
    ddpg = found(problem, agent, 40).best.evaluation.score
    uniform, rand = (score(problem, name, 40) for name in ("uniform", "random"))
    assert ddpg > rand > uniform
    # Not the search around it alone: the actor by itself makes a better plan too.
    assert problem.evaluate(agent.policy.plan(problem)).score > uniform


BARE = DDPGConfig(seeded=False, knapsack=False, imagine=False, gradient_steps=10)
"""What AMC does: every walk of the actor is evaluated, and nothing else is known."""


def test_a_bare_agent_is_given_no_plan_and_still_learns():
    problem = chain_landscape(1, groups=12)
    bare = found(problem, DDPGSearcher(BARE), 60, seed=2)
    given = [problem.budget.uniform(), least_error(problem)]
    assert not {record.plan for record in bare.history} & set(given)
    losses = [record.evaluation.loss for record in bare.history]
    assert np.mean(losses[-12:]) < np.mean(losses[:12])
    assert bare.history == found(problem, DDPGSearcher(BARE), 60, seed=2).history


def test_the_knapsack_can_be_left_out_and_what_is_given_stays():
    problem = chain_landscape(1, groups=12)
    options = {"warm_up": 1, "gradient_steps": 5}
    with_it, without = (
        found(problem, DDPGSearcher(DDPGConfig(knapsack=knapsack, **options)), 12)
        for knapsack in (True, False)
    )
    seeds = len(warm_start_plans(problem))
    assert with_it.history[:seeds] == without.history[:seeds]
    assert with_it.history[seeds].plan != without.history[seeds].plan


@pytest.mark.parametrize("led", [True, False])
def test_what_the_actor_learned_shows_only_where_it_leads(led):
    problem = chain_landscape(1, groups=12)
    slow, fast = (
        found(problem, DDPGSearcher(DDPGConfig(led=led, warm_up=1, learning_rate=rate)), 24)
        for rate in (1e-4, 1e-1)
    )
    assert (slow.history == fast.history) == (not led)


@pytest.mark.parametrize("name", SEARCHERS)
def test_the_same_seed_gives_the_same_history_and_other_seeds_another(name):
    problem = chain_landscape(0, groups=6)
    first, again, other = (found(problem, make(name), 15, seed) for seed in (3, 3, 4))
    assert first.history == again.history
    assert (first.history == other.history) == (name in ("uniform", "greedy"))


@pytest.mark.parametrize("name", SEARCHERS)
def test_searchers_spend_exactly_their_evaluations_and_never_fall_below_uniform(name):
    problem = residual_landscape(0, blocks=2)
    for evaluations in (1, 2, 20):
        ledger = found(problem, make(name), evaluations)
        assert ledger.count == (1 if name == "uniform" else evaluations)
        first = least_error(problem) if name == "dp" else problem.budget.uniform()
        assert ledger.best.evaluation.loss <= problem.evaluate(first).loss
        assert len({record.plan for record in ledger.history}) == ledger.count


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_resumed_search_takes_the_same_course(name):
    problem = chain_landscape(0, groups=6)
    whole = found(problem, make(name), 12)
    known = {record.plan: record.evaluation for record in whole.history[:7]}
    resumed = Ledger(problem, 12, known=known)
    make(name).search(problem, resumed, 0)
    assert [r.plan for r in resumed.history] == [r.plan for r in whole.history]
    assert [r.recalled for r in resumed.history] == [i < 7 for i in range(whole.count)]


@pytest.mark.parametrize("name", SEARCHERS)
def test_global_random_states_are_left_alone_and_nothing_is_printed(name, capsys):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(1))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with torch.no_grad():
        found(chain_landscape(0, groups=4), make(name), 6)
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", SEARCHERS)
def test_small_worlds_end(name):
    """One group, a budget that takes everything: fewer plans than evaluations."""
    for structure, budget in ((chain([7]), "0.5flops"), (chain([4, 4]), "1flops")):
        ledger = found(landscape(structure, 0, budget), make(name), 40)
        assert 1 <= ledger.count < 40


@pytest.mark.parametrize("name", SEARCHERS)
@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_failing_evaluations_do_not_stop_the_search(name, bad):
    base = chain_landscape(0, groups=5)
    rng = np.random.default_rng(0)

    def evaluate(plan):
        return base.evaluate(plan) if rng.random() < 0.3 else Evaluation(bad, 1.0)

    for broken in (evaluate, lambda plan: Evaluation(bad, bad)):
        ledger = found(dataclasses.replace(base, scorer=FunctionScorer(broken)), make(name), 12)
        assert ledger.count == (1 if name == "uniform" else 12)


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_report_finite_metrics(name):
    seen = []
    found(chain_landscape(0, groups=5), make(name, on_step=seen.append), 20)
    assert len(seen) >= 14
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    assert {"reward_loss"} < set(seen[-1])


def test_budgets_over_several_costs_and_widths_are_kept():
    problem = chain_landscape(2, groups=8, budget="0.5flops,0.4params", align=8)
    for name in SEARCHERS:
        for record in found(problem, make(name), 10).history:
            assert problem.budget.met(record.plan)
            assert all(
                record.plan[g.name] % 8 == 0 or record.plan[g.name] == g.size
                for g in problem.structure.groups
            )


def test_an_unknown_agent_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown agent 'dqn'.*ddpg, ppo"):
        searcher("dqn")


def test_what_is_stored_is_what_was_executed():
    """Every action of a walk, taken again in the observed state, decides the count it kept."""
    context = WalkContext.of(residual_landscape(2, blocks=1, align=4))
    rng = np.random.default_rng(0)
    walks = roll_out(context, lambda _, o: rng.uniform(-1, 1, len(o)).astype(np.float32), 5)
    for walk in walks:
        state = initial(context)
        for step, action in enumerate(walk.actions):
            assert np.array_equal(observe(context, state), walk.observations[step])
            state = transition(context, state, float(action))
        assert state.kept == walk.kept
        assert retrace(context, context.budget.cost.plan(walk.kept)).kept == walk.kept


@settings(max_examples=40)
@given(structures, st.integers(0, 9), st.sampled_from(["0.6flops", "0.8params,0.9flops"]))
def test_least_error_is_maximal_and_no_worse_than_uniform(structure, seed, budget):
    try:
        problem = landscape(structure, seed, budget)
    except Exception as error:
        assert type(error).__name__ == "InfeasibleError"
        return
    uniform, guided = baseline_plans(problem)
    assert problem.budget.met(guided)
    assert problem.budget.top_up(guided) == guided
    errors = problem.ranking.errors
    uniform_error, error = (
        sum(errors[name][count] for name, count in plan.items()) for plan in (uniform, guided)
    )
    assert error <= uniform_error + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_least_error_is_within_five_percent_of_the_best_of_all_plans(seed):
    problem = landscape(chain([12, 9, 14, 8, 6]), seed)
    errors = [problem.ranking.errors[group.name] for group in problem.structure.groups]
    plans = np.stack(np.meshgrid(*problem.budget.choices, indexing="ij"), -1).reshape(-1, 5)
    fitting = plans[problem.cost.macs.many(plans) <= problem.budget.limits["macs"]]
    total = sum(curve[fitting[:, i]] for i, curve in enumerate(errors))
    assert total.min() <= summed_error(problem, least_error(problem)) <= 1.05 * total.min()


@pytest.mark.parametrize("budget", ["0.5flops", "0.4flops,0.5params", "0.5energy", "0.3bytes"])
@pytest.mark.parametrize("align", [1, 8])
def test_the_knapsack_is_better_than_its_start_on_every_cost(budget, align):
    problem = residual_landscape(1, blocks=3, budget=budget, align=align)
    start = problem.cost.plan(WalkContext.of(problem).planner.counts)
    plan = least_error(problem)
    assert problem.budget.met(plan) and problem.budget.top_up(plan) == plan
    assert summed_error(problem, plan) <= summed_error(problem, start)
    assert summed_error(problem, plan) < summed_error(problem, problem.budget.uniform())


def test_coefficients_move_units_to_the_groups_they_favor():
    problem = chain_landscape(3)
    favored = np.arange(12) % 2 == 0
    plain, bent = (
        np.array(list(least_error(problem, np.where(favored, c, 1.0)).values())) for c in (1, 9)
    )
    assert (bent >= plain)[favored].all() and (bent < plain)[~favored].any()


def summed_error(problem, plan):
    pairs = zip(curves(problem), plan.values(), strict=True)
    return float(sum(curve[count] for curve, count in pairs))


@pytest.mark.parametrize("name", ["random", "greedy", "evolution", "dp"])
def test_batches_scored_elsewhere_change_nothing(name):
    """Plans are asked for in batches whose size is the searcher's own."""
    problem = residual_landscape(0, blocks=2)
    asked = []

    class Elsewhere:
        def score(self, plans, best=None):
            asked.append(len(plans))
            return iter([problem.evaluate(plan) for plan in plans])

    alone = found(problem, make(name), 21)
    shared = found(dataclasses.replace(problem, scorer=Elsewhere()), make(name), 21)
    assert shared.history == alone.history
    assert sum(asked) == 21 and max(asked) > 1


def test_the_belief_finds_the_critical_groups():
    rng = np.random.default_rng(0)
    weights = rng.lognormal(0, 1, 10)
    errors = rng.uniform(0, 0.3, (60, 10))
    rewards = 0.9 - errors @ weights / 10 + rng.normal(0, 0.002, 60)
    belief = RewardModel.of(errors, rewards)
    assert np.corrcoef(-belief.mean[1:], weights)[0, 1] > 0.98
    fresh = rng.uniform(0, 0.3, (200, 10))
    assert np.abs(belief.expect(fresh) - (0.9 - fresh @ weights / 10)).max() < 0.02
    drawn = np.std([belief.sample(rng).expect(fresh) for _ in range(200)], axis=0)
    assert 0 < drawn.mean() < 0.05


def test_one_evaluation_is_enough_for_a_belief_and_no_spread_does_not_break_it():
    for errors, rewards in (
        (np.array([[0.1, 0.2]]), np.array([0.5])),
        (np.array([[0.1, 0.2], [0.2, 0.1]]), np.array([0.0, 0.0])),
        (np.zeros((2, 2)), np.array([0.5, 0.6])),
    ):
        belief = RewardModel.of(errors, rewards)
        assert np.isfinite(belief.expect(errors)).all()
        assert np.isfinite(belief.sample(np.random.default_rng(0)).expect(errors)).all()


@given(st.integers(0, 1000))
def test_noise_decays_to_its_least(episode):
    decay = Decay(0.5, 0.9, 0.05)
    assert 0.05 <= decay(episode + 1) <= decay(episode) <= 0.5


@given(st.floats(-1, 1, width=32), st.floats(0, 3), st.integers(0, 100))
def test_noise_stays_in_range(mean, sigma, seed):
    means = np.full(50, mean, np.float32)
    drawn = truncated_normal(means, sigma, np.random.default_rng(seed))
    assert drawn.dtype == np.float32 and np.all(np.abs(drawn) <= 1)
    assert np.all(means == mean)
    if sigma == 0:
        assert np.array_equal(drawn, means)


def test_noise_does_not_pile_up_at_the_ends():
    drawn = truncated_normal(np.full(4000, 0.9, np.float32), 0.5, np.random.default_rng(0))
    assert np.count_nonzero(drawn == 1) == 0
    assert drawn.mean() < 0.75


@pytest.fixture(scope="module", params=list(LEARNERS))
def trained(request):
    problem = chain_landscape(0, groups=5)
    agent = make(request.param)
    found(problem, agent, 8)
    return agent.policy


def test_a_policy_survives_its_files_and_runs_on_another_network(trained):
    text = json.dumps(trained.to_json())
    again = Policy.read(json.loads(text), trained.to_safetensors())
    assert again.trained_on["evaluations"] == 8
    for other in (residual_landscape(5, blocks=2), chain_landscape(3, groups=4, budget="0.3macs")):
        assert other.budget.met(again.plan(other))
        assert again.plan(other) == trained.plan(other)


def test_a_policy_is_the_actor():
    problem = chain_landscape(0, groups=5)
    observations = np.random.default_rng(0).uniform(-1, 1, (9, len(ENTRIES)))
    observations = observations.astype(np.float32)
    torch.manual_seed(0)
    actor = torch.nn.Sequential(
        torch.nn.Linear(len(ENTRIES), 8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 1),
        torch.nn.Tanh(),
    )
    policy = Policy.of(actor, "relu", "tanh", {})
    expected = actor(torch.as_tensor(observations)).detach().numpy()[:, 0]
    np.testing.assert_allclose(policy(observations), expected, atol=1e-6)
    assert problem.budget.met(policy.plan(problem))


def broken(description, content):
    """Descriptions and contents that must all be refused."""
    text = json.dumps(description)
    yield None, content
    yield [1], content
    yield {**description, "format": 2}, content
    yield json.loads(text.replace(f'"version": {VERSION}', '"version": 0')), content
    yield json.loads(text.replace('"depth"', '"deep"')), content
    yield {**description, "widths": [64, 64, 2]}, content
    yield {**description, "widths": [64, 1]}, content
    yield {**description, "widths": [10**9, 1]}, content
    yield {**description, "widths": "wide"}, content
    yield {**description, "widths": []}, content
    yield {**description, "hidden": "gelu"}, content
    yield {**description, "trained_on": 3}, content
    yield description, b""
    yield description, content[:-5]
    yield description, b"\xff" * 100
    yield description, sys.intern("pickle").encode()
    yield description, content.replace(b"F32", b"I32")
    yield description, content[:-4] + np.float32(np.nan).tobytes()


def test_damaged_and_hostile_policies_are_refused(trained):
    for description, content in broken(trained.to_json(), trained.to_safetensors()):
        with pytest.raises(DamagedError):
            Policy.read(description, content)
