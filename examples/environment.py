"""The environment with PPO of Stable-Baselines3, and with a loop written by hand."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from digits import data, trained
from numpy.typing import NDArray
from stable_baselines3 import PPO

import autoprune

Env = gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]


def by_ppo(problem: autoprune.Problem) -> autoprune.Evaluation:
    """Let PPO learn; return the evaluation of its best guess."""
    env: Env = gymnasium.make("autoprune.envs:autoprune/LayerPruning-v0", problem=problem)
    agent = PPO("MlpPolicy", env, n_steps=32, batch_size=32, seed=0, device="cpu").learn(64)
    info: dict[str, Any] = {}
    observation, done = env.reset()[0], False
    while not done:
        action, _ = agent.predict(observation, deterministic=True)
        observation, _, done, _, info = env.step(action)
    return cast(autoprune.Evaluation, info["evaluation"])


def by_hand(problem: autoprune.Problem, episodes: int = 20) -> autoprune.Evaluation:
    """Climb: disturb the best actions so far, keep what earns more."""
    env, rng = problem.env(reward="loss"), np.random.default_rng(0)
    groups = len(problem.structure.groups)
    best, most, found = np.zeros(groups), -np.inf, problem.evaluate(problem.budget.uniform())
    for episode in range(episodes):
        actions = np.clip(best + 0.3 * rng.normal(size=groups) * (episode > 0), -1, 1)
        env.reset()
        for action in actions:
            _, reward, _, _, info = env.step(np.array([action], np.float32))
        if reward > most:
            best, most, found = actions, float(reward), info["evaluation"]
    return found


def main() -> dict[str, autoprune.Evaluation]:
    """Walk both ways; return what each found."""
    problem = autoprune.pose(trained(), data(), "0.5flops")
    return {"ppo": by_ppo(problem), "by hand": by_hand(problem)}


if __name__ == "__main__":
    for name, evaluation in main().items():
        print(f"{name}: loss {evaluation.loss:.3f}, accuracy {evaluation.score:.3f}")
