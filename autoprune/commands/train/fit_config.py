"""Recipe of a training: that of the network, overridden by the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from autoprune.commands.train.config import FinetuneConfig, TrainConfig
from autoprune.training.config import FitConfig
from autoprune.training.recipes import NORMED, PLAIN, recipe, softened


def fit_config(config: TrainConfig | FinetuneConfig, model: nn.Module, samples: int) -> FitConfig:
    """Return the recipe of ``model``, with the settings that the command line gives.

    Raises UsageError for values out of range.
    """
    fit = recipe(model, samples)
    if isinstance(config, FinetuneConfig):
        fit = replace(softened(model, samples), distill=config.distill)
    options = ("epochs", "steps", "batch_size", "optimizer", "learning_rate", "weight_decay")
    asked: dict[str, Any] = {name: getattr(config, name) for name in options}
    if config.optimizer not in (None, fit.optimizer) and config.learning_rate is None:
        other = NORMED if config.optimizer == "sgd" else PLAIN  # rates do not carry over
        asked |= {"learning_rate": other.learning_rate}
    return replace(
        fit,
        **{name: value for name, value in asked.items() if value is not None},
        label_smoothing=config.label_smoothing,
        precision=config.precision,
        seed=config.seed,
    )
