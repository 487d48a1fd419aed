"""How a network is trained when nobody says how: found from what it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from torch import nn

from autoprune.training.config import FitConfig

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
