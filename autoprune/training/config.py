"""Configuration of a training: length, optimizer, learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from autoprune.data.classification import Classification
from autoprune.data.task import Task
from autoprune.errors import UsageError
from autoprune.networks.execution import Precision


@dataclass(frozen=True)
class FitConfig:
    """Configuration of a training."""

    epochs: int = 10
    """Passes over the training split."""
    steps: int | None = None
    """Steps in all, in place of epochs."""
    first: int = 0
    """Steps that were taken before: data order and learning rate go on from there."""
    batch_size: int = 128
    """Samples per step."""
    learning_rate: float = 0.1
    """Peak learning rate."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum, or AdamW."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay, on tensors of two or more dimensions (not on biases and norms)."""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    """Course of the learning rate."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes (classification only)."""
    augment: bool = True
    """Apply the data's augmentation, if it has one."""
    distill: float = 0.0
    """Weight of the teacher's outputs in the loss; 0 trains on labels alone."""
    temperature: float = 4.0
    """Temperature of the teacher's outputs."""
    precision: Precision = "auto"
    """Arithmetic of the forward pass; auto takes the faster of the two on this device."""
    seed: int = 0
    """Seed of shuffling, augmentation and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("momentum", "label_smoothing", "distill"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie in [0, 1], not {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"steps must be positive, not {self.steps}")
        if self.first < 0:
            raise UsageError(f"first must be 0 or more, not {self.first}")

    def length(self, samples: int) -> int:
        """Return the number of steps over a split of so many samples.

        Raises UsageError if ``first`` lies past the last of them.
        """
        total = self.steps or self.epochs * self.epoch(samples)
        if self.first >= total:
            raise UsageError(
                f"training cannot begin after step {self.first} of {total}",
                "start earlier, or train longer",
            )
        return total

    def part(self, number: int, rounds: int, samples: int) -> FitConfig:
        """Return the training of one round, from 1, of a gradual pruning over so many samples.

        The first half of the steps is for all rounds but the last, at the full rate; the last one
        has the rest, and one cosine (in the manner of Zhu and Gupta 2017, arXiv:1710.01878, section
        3, who prune at a high rate and go on training at a falling one).
        """
        total = self.length(samples)
        ends = [total // 2 * one // max(1, rounds - 1) for one in range(rounds)]
        if number == rounds:
            return replace(self, steps=max(1, total - ends[-1]), schedule="cosine")
        first = ends[number - 1]
        return replace(self, steps=max(first + 1, ends[number]), first=first, schedule="constant")

    def epoch(self, samples: int) -> int:
        """Return the number of steps in an epoch of so many samples."""
        return math.ceil(samples / self.batch_size)

    def rate(self, progress: float) -> float:
        """Return the learning rate at ``progress`` in [0, 1].

        ``one-cycle`` rises linearly from 1/25 of the peak over the first quarter, then falls to 0
        along a cosine (Smith and Topin 2018, with one cosine for both of their falling phases);
        ``cosine`` only falls.
        """
        if self.schedule == "constant":
            return self.learning_rate
        warm = 0.25 if self.schedule == "one-cycle" else 0.0
        if progress < warm:
            return self.learning_rate * (0.04 + 0.96 * progress / warm)
        turn = math.pi * (progress - warm) / (1 - warm)
        return self.learning_rate * 0.5 * (1 + math.cos(turn))

    def start(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimizer of the parameters that require gradients.

        Raises UsageError if none does.
        """
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trained:
            raise UsageError(
                "the model has no parameter to train", "set requires_grad on those to recover"
            )
        groups: list[dict[str, Any]] = [
            {"params": [value for value in trained if value.ndim > 1]},
            {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
        ]
        speed, decay = self.learning_rate, self.weight_decay
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, speed, weight_decay=decay, fused=True)
        nesterov = self.momentum > 0
        return torch.optim.SGD(
            groups, speed, self.momentum, weight_decay=decay, nesterov=nesterov, fused=True
        )


def smoothed(task: Task, config: FitConfig) -> Task:
    """Return the task with the label smoothing of a training; UsageError if it has none."""
    if not config.label_smoothing:
        return task
    if not isinstance(task, Classification):
        raise UsageError(f"task {task.name!r} has no label smoothing", "set label_smoothing to 0")
    return replace(task, label_smoothing=config.label_smoothing)
