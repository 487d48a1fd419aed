"""What TensorBoard shows of a search: reward, best so far, cost, every group's keep, losses.

Of the training of a policy: what every network's plans score, the loss of imitation, the reward of
practice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoprune.cost.polynomial import CostModel
from autoprune.pipeline.result import Round
from autoprune.problem.problem import Record
from autoprune.runs.tensorboard import Events


class Curves:
    """Writes the course of a search as scalars; one step is one evaluation."""

    def __init__(self, writer: Events, cost: CostModel) -> None:
        self._writer, self._cost = writer, cost
        self._best, self._episodes = float("-inf"), 0

    def evaluation(self, record: Record) -> None:
        """Write one evaluation."""
        step, found = record.number, record.evaluation
        self._best = max(self._best, found.score)
        cost, write = self._cost, self._writer.add_scalar
        write("search/reward", found.score, step)
        write("search/best_so_far", self._best, step)
        write("search/loss", found.loss, step)
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
            ("round/recovered", found.recovered),
            ("cost/macs_fraction", found.macs / cost.macs.dense),
            ("cost/parameters_fraction", found.parameters / cost.parameters.dense),
        ):
            self._writer.add_scalar(name, value, number)

    def learning(self, values: Mapping[str, float]) -> None:
        """Write what a learning agent says after an episode."""
        self._episodes += 1
        for name, value in values.items():
            self._writer.add_scalar(f"agent/{name}", value, self._episodes)

    def training(self, phase: str, epoch: int, loss: float) -> None:
        """Write the loss of an epoch of training or fine-tuning."""
        self._writer.add_scalar(f"{phase}/loss", loss, epoch)

    def outcome(self, config: Mapping[str, Any], measures: Mapping[str, float]) -> None:
        """Write hyper-parameters and what they came to."""
        plain = {
            name: value if isinstance(value, (int, float, str, bool)) else str(value)
            for name, value in config.items()
        }
        self._writer.add_hparams(plain, measures)
        self._writer.flush()


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
