import dataclasses
import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.agents.initial_plans import baseline_plans
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.envs.features import CURVE
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import LOSS, SCORE
from autoprune.envs.walk import (
    ENTRIES,
    WalkContext,
    action_for,
    count_for,
    initial,
    observe,
    plan_of,
    planner_action,
    step_reward,
    terminal,
    transition,
    walk_to,
)
from autoprune.errors import InfeasibleError, UsageError
from autoprune.networks.zoo import build
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import FunctionScorer
from autoprune.problem.statistics import weight_statistics
from autoprune.ranking.rank import rank
from autoprune.structure.analyze import analyze
from tests.landscape import chain_landscape, landscape, residual_landscape
from tests.synthetic import structures

ENTRY = {name: index for index, name in enumerate(ENTRIES)}
actions = st.floats(-1, 1, width=32)


def squashed(error):
    return (error / (1 + error)) ** 0.5


def entry(observation, name):
    return float(observation[ENTRY[name]])


@st.composite
def contexts(draw):
    structure = draw(structures)
    align = draw(st.sampled_from([1, 1, 4]))
    budget = draw(st.sampled_from(["0.6flops", "0.9flops,0.8params", "1flops", "0.95bytes"]))
    try:
        return WalkContext.of(landscape(structure, draw(st.integers(0, 9)), budget, align))
    except InfeasibleError:
        return WalkContext.of(landscape(structure, 0, "1flops", align))


def walk(context, sequence):
    states = [initial(context)]
    for action in sequence:
        states.append(transition(context, states[-1], action))
    return states


@pytest.mark.parametrize("shaping", [False, True])
def test_both_checkers_are_clean(shaping):
    env = gymnasium.make("autoprune/LayerPruning-v0", problem=chain_landscape(0), shaping=shaping)
    check_env(env.unwrapped)
    check_env_sb3(env.unwrapped)


@settings(max_examples=60)
@given(contexts(), st.data())
def test_any_actions_end_in_a_plan_on_budget(context, data):
    sequence = [data.draw(actions) for _ in range(context.length)]
    states = walk(context, sequence)
    assert [terminal(context, s) for s in states] == [False] * context.length + [True]
    plan = plan_of(context, states[-1])
    assert context.budget.met(plan)
    for state, after, action in zip(states[:-1], states[1:], sequence, strict=True):
        assert state.low <= after.kept[-1] <= state.high
        assert after.previous == action
        observation = observe(context, state)
        assert observation.dtype == np.float32 and observation.shape == (len(ENTRY),)
        assert np.all(np.abs(observation) <= 1)


@settings(max_examples=60)
@given(contexts(), st.data())
def test_action_for_is_the_exact_inverse(context, data):
    state = initial(context)
    while not terminal(context, state):
        choices = context.budget.choices[state.group]
        for count in choices[(choices >= state.low) & (choices <= state.high)].tolist():
            action = action_for(state, count)
            assert -1 <= action <= 1
            assert count_for(context, state, float(np.float32(action))) == count
        for outside in (state.low - 1, state.high + 1):
            with pytest.raises(ValueError, match="interval"):
                action_for(state, outside)
        state = transition(context, state, data.draw(actions))


@settings(max_examples=50)
@given(contexts(), st.data())
def test_more_action_never_keeps_less(context, data):
    state = initial(context)
    counts = [count_for(context, state, a) for a in np.linspace(-1, 1, 21)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (state.low, state.high)


def test_zeros_keep_the_uniform_plan():
    problem = residual_landscape(1)
    context = WalkContext.of(problem)
    plan = plan_of(context, walk(context, [0.0] * context.length)[-1])
    uniform = problem.budget.uniform()
    fractions = np.array([plan[n] / s for n, s in problem.structure.sizes.items()])
    even = np.array([uniform[n] / s for n, s in problem.structure.sizes.items()])
    assert np.abs(fractions - even).max() < 0.07
    assert problem.cost.macs(plan) > 0.995 * problem.budget.limits["macs"]


def follow_the_planner(context):
    state = initial(context)
    while not terminal(context, state):
        assert entry(observe(context, state), "guided") == pytest.approx(
            planner_action(context.planner, state), abs=1e-6
        )
        state = transition(context, state, planner_action(context.planner, state))
    return state.kept


@settings(max_examples=40)
@given(contexts(), st.data())
def test_what_the_error_curves_suggest_is_a_feasible_action_anywhere(context, data):
    state = initial(context)
    while not terminal(context, state):
        assert -1 <= planner_action(context.planner, state) <= 1
        state = transition(context, state, data.draw(actions))


@pytest.mark.parametrize("budget", ["0.3flops", "0.7flops", "0.4params", "0.5flops,0.4params"])
def test_following_the_error_curves_ends_near_the_least_sum_of_errors(budget):
    for make in (chain_landscape, residual_landscape):
        problem = make(4, budget=budget)
        context = WalkContext.of(problem)
        uniform, best = (context.error(tuple(plan.values())) for plan in baseline_plans(problem))
        followed = context.error(follow_the_planner(context))
        assert followed <= best + 0.1 * (uniform - best)


def test_walk_to_retraces_any_walk_and_any_maximal_plan():
    problem = residual_landscape(3, align=4)
    context = WalkContext.of(problem)
    rng = np.random.default_rng(0)
    end = plan_of(context, walk(context, rng.uniform(-1, 1, context.length))[-1])
    for plan in (problem.budget.uniform(), end):
        steps = walk_to(context, plan)
        states = walk(context, [action for _, action in steps])
        assert states[:-1] == [state for state, _ in steps]
        assert plan_of(context, states[-1]) == plan
    with pytest.raises(ValueError, match="interval"):
        walk_to(context, problem.cost.plan(problem.budget.smallest))


def test_the_observation_describes_the_group_about_to_be_decided():
    """No off-by-one: every entry is recomputed from the problem for the group that acts next."""
    problem = chain_landscape(5, groups=6)
    env = LayerPruning(problem)
    observation, _ = env.reset()
    rng, kept, previous = np.random.default_rng(1), [], 0.0
    for step, group in enumerate(problem.structure.groups):
        errors = problem.ranking.errors[group.name]
        assert entry(observation, "size") == pytest.approx(math.log2(group.size) / 16)
        assert entry(observation, f"is_{group.kind}") == 1
        assert entry(observation, "readers") == pytest.approx(1 / 8)  # a chain: the next layer
        saved = problem.cost.macs.sizes.copy()
        saved[step] = 1
        saving = 1 - problem.cost.macs.at(saved) / problem.cost.macs.dense
        assert entry(observation, "share") == pytest.approx(math.log2(saving) / 16)
        share = max(problem.cost.macs.shares[step], 2**-16)
        assert entry(observation, "macs_share") == pytest.approx(math.log2(share) / 16)
        for fraction in CURVE:
            expected = squashed(np.interp(fraction * group.size, range(group.size + 1), errors))
            assert entry(observation, f"error_{fraction:g}") == pytest.approx(expected, abs=1e-6)
        low, high = problem.budget.interval(kept)
        assert entry(observation, "low") == pytest.approx(low / group.size)
        assert entry(observation, "high") == pytest.approx(high / group.size)
        assert entry(observation, "depth") == pytest.approx(step / 6)
        assert entry(observation, "previous_action") == pytest.approx(previous)
        decided = [
            problem.ranking.errors[g.name][k]
            for g, k in zip(problem.structure.groups, kept, strict=False)
        ]
        so_far = squashed(sum(decided) / max(step, 1))
        assert entry(observation, "error_so_far") == pytest.approx(so_far, abs=1e-6)
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        observation, _, terminated, _, info = env.step(action)
        kept.append(env.state.kept[-1])
        previous = float(action[0])
    assert terminated and list(info["plan"].values()) == kept
    assert entry(observation, "depth") == 1 and entry(observation, "size") == 0


def test_budgets_are_observed():
    context = WalkContext.of(chain_landscape(0, budget="0.6flops,0.4params"))
    observation = observe(context, initial(context))
    assert entry(observation, "budget") == pytest.approx(0.4, abs=1e-3)
    dense = WalkContext.of(chain_landscape(0, budget="1flops"))
    whole = observe(dense, initial(dense))
    assert [entry(whole, name) for name in ("low", "middle", "high", "rest", "slack")] == [1] * 5


def play(env, seed=0):
    rng = np.random.default_rng(seed)
    env.reset()
    earned = []
    while True:
        _, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, 1))
        earned.append(reward)
        assert not truncated
        if terminated:
            return earned, info


def test_the_reward_is_terminal_and_shaping_changes_no_sum():
    problem = chain_landscape(2)
    plain, info = play(LayerPruning(problem))
    shaped, _ = play(LayerPruning(problem, shaping=True))
    assert plain[:-1] == [0.0] * (len(plain) - 1)
    assert plain[-1] == LOSS(problem.evaluate(info["plan"]))
    assert shaped[0] != 0 and shaped != plain
    assert sum(shaped) == pytest.approx(sum(plain))
    scored, info = play(LayerPruning(problem, reward="score"))
    assert scored[-1] == SCORE(problem.evaluate(info["plan"])) > 0 > plain[-1]


def test_rewards_put_failures_last_and_order_by_loss_or_by_score_and_then_loss():
    failed = Evaluation(math.nan, 1.0).finite()
    worse, better, sure = Evaluation(0.5, 2.0), Evaluation(0.5, 1.0), Evaluation(0.6, 1.5)
    assert sorted([sure, better, failed, worse], key=SCORE) == [failed, worse, better, sure]
    assert sorted([sure, better, failed, worse], key=LOSS) == [failed, worse, sure, better]


def test_evaluations_go_through_the_ledger_and_failures_stay_finite():
    problem = dataclasses.replace(
        chain_landscape(2), scorer=FunctionScorer(lambda plan: Evaluation(math.nan, math.nan))
    )
    ledger = Ledger(problem, 1)
    env = LayerPruning(problem, ledger.evaluate)
    earned, info = play(env)
    assert ledger.count == 1 and info["evaluation"].failed
    assert math.isfinite(sum(earned)) and math.isfinite(sum(play(LayerPruning(problem))[0]))


def test_misuse_is_refused():
    problem = chain_landscape(2, groups=3)
    with pytest.raises(UsageError, match="unknown reward"):
        LayerPruning(problem, reward="profit")
    env = LayerPruning(problem)
    env.reset()
    for bad in (1.5, math.nan):
        with pytest.raises(gymnasium.error.InvalidAction):
            env.step(np.array([bad]))
    play(env)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.array([0.0]))
    with pytest.raises(ValueError, match="finite"):
        step_reward(env.context, env.state, env.state, math.inf)


@pytest.mark.parametrize("name", ["resnet20"])
def test_walks_of_real_networks_land_on_several_budgets(name):
    model = build(name)
    structure = analyze(model, torch.zeros(2, 3, 32, 32))
    cost = CostModel(structure)
    statistics = weight_statistics(structure, model.state_dict())
    ranking = rank(model, structure, "l1")
    rng = np.random.default_rng(0)
    for text in ("0.5flops", "0.3params,0.4macs", "0.7bytes"):
        budget = Budget.parse(text).bind(cost)
        problem = PruningProblem(
            structure, cost, budget, ranking, lambda plan: Evaluation(0.5, 1.0), statistics
        )
        context = WalkContext.of(problem)
        assert np.all(context.own[:, [ENTRY["norm_top_half"]]] > 0)
        for scale in (0.0, 0.3):
            states = walk(context, rng.uniform(-scale, scale, context.length))
            plan = plan_of(context, states[-1])
            spent = max(item.cost(plan) / item.bound for item in budget.constraints)
            assert 0.97 < spent <= 1
            assert walk_to(context, budget.top_up(plan))
