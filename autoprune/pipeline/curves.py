"""TensorBoard curves: of a search, of a schedule, and of the training of a policy."""

from __future__ import annotations

from collections.abc import Mapping

from autoprune.cost.model import CostModel
from autoprune.envs.rewards import LOSS, find_reward
from autoprune.foundation.config import Config
from autoprune.pipeline.plots import figures
from autoprune.pipeline.result import Result, Round
from autoprune.problem.ledger import Record
from autoprune.runs.tensorboard import Events


class Curves:
    """Writes the course of a search as scalars; one step is one evaluation."""

    def __init__(self, writer: Events, cost: CostModel, reward: str = LOSS.name) -> None:
        self._writer, self._cost, self._reward = writer, cost, find_reward(reward)
        self._best: Record | None = None
        self._episodes = 0

    def evaluation(self, record: Record) -> None:
        """Write one evaluation, and the best so far: the complete one of least loss."""
        step, evaluation = record.number, record.evaluation
        best = self._best
        if evaluation.complete and not (best and best.evaluation.loss <= evaluation.loss):
            self._best = best = record
        cost, write = self._cost, self._writer.add_scalar
        write(f"search/reward_{self._reward.name}", self._reward(evaluation), step)
        write("search/score", evaluation.score, step)
        write("search/loss", evaluation.loss, step)
        if best:
            write("search/best_score", best.evaluation.score, step)
            write("search/best_loss", best.evaluation.loss, step)
        write("cost/macs_fraction", cost.macs(record.plan) / cost.macs.dense, step)
        write(
            "cost/parameters_fraction", cost.parameters(record.plan) / cost.parameters.dense, step
        )
        for group in self._cost.structure.groups:
            write(f"keep/{group.name}", record.plan[group.name] / group.size, step)

    def round(self, number: int, found: Round) -> None:
        """Write one round of a schedule."""
        cost = self._cost
        for name, value in (
            ("round/pruned", found.pruned),
            ("round/finetuned", found.finetuned),
            ("cost/macs_fraction", found.macs / cost.macs.dense),
            ("cost/parameters_fraction", found.parameters / cost.parameters.dense),
        ):
            self._writer.add_scalar(name, value, number)

    def learning(self, values: Mapping[str, float]) -> None:
        """Write the metrics that a learning agent reports after an episode."""
        self._episodes += 1
        for name, value in values.items():
            self._writer.add_scalar(f"agent/{name}", value, self._episodes)

    def training(self, phase: str, epoch: int, loss: float) -> None:
        """Write the loss of an epoch of training or fine-tuning."""
        self._writer.add_scalar(f"{phase}/loss", loss, epoch)

    def outcome(self, config: Config, result: Result) -> None:
        """Write the hyper-parameters that were chosen, final scores, and what is left of costs."""
        chosen = config.chosen(*_COMPARED).items()
        end, dense = result.finetuned, result.dense
        measures = {
            "outcome/dense": dense.score,
            "outcome/pruned": result.pruned.score,
            "outcome/finetuned": end.score,
            "outcome/macs_left": end.macs / max(dense.macs, 1),
            "outcome/parameters_left": end.parameters / max(dense.parameters, 1),
        }
        if end.latency_ms is not None:
            measures["outcome/latency_ms"] = end.latency_ms
        plain = {
            name: value if isinstance(value, (int, float, str, bool)) else str(value)
            for name, value in chosen
        }
        self._writer.add_hparams(plain, measures)
        self._writer.flush()

    def pictures(self, result: Result) -> None:
        """Write the plots of a result; they take seconds, for matplotlib is imported."""
        for name, draw in figures(result).items():
            self._writer.add_figure(f"result/{name}", draw(result))
        self._writer.flush()


_COMPARED = ("budget", "model", "data", "agent", "ranking", "seed")
"""Hyper-parameters that are written though they are at their default: runs are compared by them."""


class PolicyCurves:
    """Writes the course of training a policy as scalars."""

    def __init__(self, writer: Events) -> None:
        self._writer = writer

    def trial(self, network: str, budget: str, record: Record, number: int) -> None:
        """Write one evaluation, the ``number``-th of all."""
        found = record.evaluation
        self._writer.add_scalar(f"score/{network}@{budget}", found.score, number)
        self._writer.add_scalar(f"loss/{network}@{budget}", found.loss, number)

    def imitation(self, step: int, loss: float) -> None:
        """Write the loss of a gradient step."""
        self._writer.add_scalar("imitation/loss", loss, step)

    def practice(self, number: int, reward: float) -> None:
        """Write the mean reward of a round of walks: 0 is the error curves' own plan."""
        self._writer.add_scalar("practice/reward", reward, number)
