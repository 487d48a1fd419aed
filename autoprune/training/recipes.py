"""Default recipes of training, chosen by the layers of a network and the number of samples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from torch import nn

from autoprune.training.config import FitConfig

FEW: Final = 10_000
"""With fewer training samples, smaller batches and more epochs make up for the few steps."""

NORMED: Final = FitConfig(learning_rate=0.1)
"""Recipe of networks with batch norm: SGD at a high rate (He et al. 2016, section 4.2)."""

PLAIN: Final = FitConfig(optimizer="adamw", learning_rate=2e-3, weight_decay=1e-2, batch_size=64)
"""Recipe of other networks, whose gradients differ in scale from layer to layer."""

RECURRENT: Final = replace(PLAIN, learning_rate=3e-3, batch_size=32)
"""Recipe of recurrent networks. Under CTC outputs stay blank for some 500 steps: small batches."""

SOFTER: Final = 0.5
"""Peak learning rate of fine-tuning, relative to that of training."""

STEADY: Final = 300
"""Steps of fine-tuning from which on SGD takes its full rate; with fewer, that share of it."""


def recipe(model: nn.Module, samples: int) -> FitConfig:
    """Return the recipe to train ``model`` from scratch on so many samples."""
    modules = list(model.modules())
    normed = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules)
    recurrent = any(isinstance(module, nn.RNNBase) for module in modules)
    fit = RECURRENT if recurrent else NORMED if normed else PLAIN
    return replace(fit, epochs=20, batch_size=64) if samples < FEW else fit


def softened(model: nn.Module, samples: int, epochs: int = 10) -> FitConfig:
    """Return the recipe to fine-tune a pruned ``model``: gently, with distillation.

    SGD at the high rate of networks with batch norm first moves far, and then needs hundreds of
    steps to do better than before: the fewer there are, the lower the rate. Measured on 100 to 800
    images of Fashion-MNIST: the full rate lost up to 48 points in ten steps, this one gained.
    """
    fit = recipe(model, samples)
    batch = 32 if samples < FEW else fit.batch_size
    steps = epochs * math.ceil(samples / batch)
    share = min(1.0, steps / STEADY) if fit.optimizer == "sgd" else 1.0
    return replace(
        fit,
        epochs=epochs,
        learning_rate=SOFTER * share * fit.learning_rate,
        batch_size=batch,
        distill=0.5,
    )
