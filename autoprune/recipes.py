"""How a network is trained when nobody says how: found from what it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from torch import nn

from autoprune.config.train import FinetuneConfig, TrainConfig
from autoprune.training import FitConfig

FEW: Final = 10_000
"""Below as many training samples, smaller batches and more epochs make up for the few steps."""

NORMED: Final = FitConfig(learning_rate=0.1)
"""Networks with batch norm bear SGD at a high rate (He et al. 2016, section 4.2)."""

PLAIN: Final = FitConfig(optimizer="adamw", learning_rate=2e-3, weight_decay=1e-2, batch_size=64)
"""Others, whose gradients differ in scale from layer to layer."""

RECURRENT: Final = replace(PLAIN, learning_rate=3e-3, batch_size=32)
"""Recurrent ones too. Under CTC they say nothing at all for some 500 steps: many small steps."""

SOFTER: Final = 0.5
"""Peak learning rate of fine-tuning, as part of the peak in training."""


def recipe(model: nn.Module, samples: int) -> FitConfig:
    """Return how to train ``model`` from scratch on so many samples."""
    modules = list(model.modules())
    normed = any(isinstance(item, nn.modules.batchnorm._BatchNorm) for item in modules)
    recurrent = any(isinstance(item, nn.RNNBase) for item in modules)
    fit = RECURRENT if recurrent else NORMED if normed else PLAIN
    return replace(fit, epochs=20, batch_size=64) if samples < FEW else fit


def softened(model: nn.Module, samples: int) -> FitConfig:
    """Return how to train what pruning left of ``model``: gently, taught by the dense network."""
    fit = recipe(model, samples)
    return replace(
        fit,
        epochs=10,
        learning_rate=SOFTER * fit.learning_rate,
        batch_size=32 if samples < FEW else fit.batch_size,
        distill=0.5,
    )


def course(config: TrainConfig | FinetuneConfig, model: nn.Module, samples: int) -> FitConfig:
    """Return how to train ``model``: its recipe, but for what the command line says.

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
