"""Environment LayerPruning: checkers, observations, rewards and misuse."""

import dataclasses
import math
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import autoprune.envs  # noqa: F401 - registers the environment
from autoprune.envs.features import CURVE
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import LOSS, SCORE
from autoprune.envs.walk import (
    ENTRIES,
    step_reward,
)
from autoprune.errors import UsageError
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.scorer import FunctionScorer
from tests.envs.walks import entry, play, squashed
from tests.landscape import chain_landscape


@pytest.mark.parametrize("shaping", [False, True])
def test_both_checkers_are_clean(shaping):
    env = gymnasium.make("autoprune/LayerPruning-v0", problem=chain_landscape(0), shaping=shaping)
    check_env(env.unwrapped)
    check_env_sb3(env.unwrapped)


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


def test_the_page_lists_every_entry_of_the_observation():
    page = (Path(__file__).parents[2] / "docs" / "environment.md").read_text()
    table = page.partition("## Observation")[2].partition("## Action")[0]
    assert dict(re.findall(r"^\| `(\w[\w.]*)` \| (.*) \|$", table, re.MULTILINE)) == ENTRIES
    assert f"({len(ENTRIES)},)" in table
