"""PPO on stable-baselines3: an on-policy searcher, which discards walks after each update.

Schulman et al. 2017. It first trains on the additive error model (the sum of the groups' errors in
place of an evaluation), which is free, then on the network itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from autoprune.agents.base import REPEATS, OnStep, isolated, silent
from autoprune.agents.initial_plans import baseline_plans
from autoprune.agents.policy import Policy, origin
from autoprune.envs.layer_pruning import LayerPruning
from autoprune.envs.rewards import LOSS, SCORE, Reward
from autoprune.envs.walk import WalkContext
from autoprune.foundation.seeds import Seeds
from autoprune.networks.execution import one_thread
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger, OutOfEvaluations
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

_NEVER = 10**9


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of PPO."""

    width: int = 64
    learning_rate: float = 1e-3
    walks: int = 4
    """Walks per update."""
    epochs: int = 10
    """Passes over the walks of an update."""
    log_std: float = -1.0
    """Logarithm of the initial standard deviation of actions."""
    rehearsal: int = 200
    """Walks on the additive error model before the first evaluation of a walk."""


class PPOSearcher:
    """Searcher by PPO: evaluates the plan of every walk. ``policy``: the actor after a search."""

    def __init__(
        self,
        config: PPOConfig | None = None,
        on_step: OnStep = silent,
        reward: Reward = LOSS,
    ) -> None:
        self.config, self.reward = config or PPOConfig(), reward
        self.policy: Policy | None = None
        self._on_step = on_step

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Train on the error model, then on evaluations."""
        uniform, least, *_ = baseline_plans(problem)
        context = WalkContext.of(problem)
        with isolated(seed):
            model = _build(
                self.config, _env(problem, SCORE, _additive(context), uniform, least), seed
            )
            with one_thread():
                model.learn(self.config.rehearsal * context.length, log_interval=_NEVER)
            try:
                env = _env(problem, self.reward, _until_stale(ledger), uniform, least)
                model.set_env(env)
                model.learn(
                    ledger.limit * REPEATS * context.length,
                    callback=_Report(self.reward, self._on_step),
                    log_interval=_NEVER,
                )
            except OutOfEvaluations:
                pass
            self.policy = _policy(model, problem, ledger)


class _Report(BaseCallback):
    """Callback that reports the reward of each finished walk and the losses of the last update."""

    def __init__(self, reward: Reward, on_step: OnStep) -> None:
        super().__init__()
        self._reward, self._report = reward, on_step

    def _on_step(self) -> bool:
        losses = {
            name.removeprefix("train/"): float(value)
            for name, value in self.model.logger.name_to_value.items()
            if name.endswith(("loss", "/std"))
        }
        for info in self.locals["infos"]:
            if "evaluation" in info:
                earned = self._reward(info["evaluation"])
                self._report({f"reward_{self._reward.name}": earned, **losses})
        return True


def _env(
    problem: PruningProblem,
    reward: Reward,
    evaluate: Callable[[Plan], Evaluation],
    uniform: Plan,
    least: Plan,
) -> LayerPruning:
    """Make an environment where the uniform plan earns 0 and the plan of least error 1."""
    scaled = reward.relative(evaluate(uniform), evaluate(least))
    return LayerPruning(problem, evaluate, reward=scaled)


def _additive(context: WalkContext) -> Callable[[Plan], Evaluation]:
    """Return the additive error model as an evaluation: minus the sum of errors as score."""

    def evaluate(plan: Plan) -> Evaluation:
        kept = tuple(int(count) for count in context.budget.counts(plan))
        return Evaluation(-context.error(kept), 0.0)

    return evaluate


def _until_stale(ledger: Ledger) -> Callable[[Plan], Evaluation]:
    """Return the ledger's evaluation that also raises OutOfEvaluations after too many repeats."""
    repeats = 0

    def evaluate(plan: Plan) -> Evaluation:
        nonlocal repeats
        repeats = repeats + 1 if plan in ledger else 0
        if repeats > REPEATS:
            raise OutOfEvaluations
        return ledger.evaluate(plan)

    return evaluate


def _build(config: PPOConfig, env: LayerPruning, seed: int) -> PPO:
    steps = config.walks * env.context.length
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=config.learning_rate,
        n_steps=steps,
        batch_size=max(2, steps // 2),
        n_epochs=config.epochs,
        gamma=1.0,
        gae_lambda=1.0,
        policy_kwargs={
            "net_arch": [config.width, config.width],
            "log_std_init": config.log_std,
        },
        device="cpu",
        seed=Seeds(seed).narrow,
    )
    model.set_logger(Logger(None, []))
    return model


def _policy(model: PPO, problem: PruningProblem, ledger: Ledger) -> Policy:
    actor = nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)
    return Policy.of(actor, "tanh", "clip", origin("ppo", problem, ledger))
