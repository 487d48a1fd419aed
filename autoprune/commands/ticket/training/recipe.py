"""Recipes of training: the papers' settings by network, and lengths in iterations or epochs."""

from __future__ import annotations

from dataclasses import replace

from autoprune.commands.ticket.config import TicketConfig
from autoprune.training.config import FitConfig

EPOCHS = 20
"""Length of a training if none is given."""

_ADAM = FitConfig(
    optimizer="adamw", weight_decay=0, schedule="constant", batch_size=60, augment=False
)

RECIPES = {
    "lenet-300-100": replace(_ADAM, learning_rate=1.2e-3),
    "conv-2": replace(_ADAM, learning_rate=2e-4),
    "conv-4": replace(_ADAM, learning_rate=3e-4),
    "conv-6": replace(_ADAM, learning_rate=3e-4),
}
"""Settings of Frankle and Carbin 2019, figure 2, but for the number of iterations.

AdamW without weight decay is their Adam.
"""

GENERAL = FitConfig(batch_size=64)
"""Recipe of other networks, as a search trains its own."""


def recipe(config: TicketConfig, factory: str, samples: int) -> FitConfig:
    """Return the recipe of the network ``factory`` for so many samples, with ``steps`` set."""
    fit = RECIPES.get(config.recipe or factory, GENERAL)
    if config.batch_size is not None:
        fit = replace(fit, batch_size=config.batch_size)
    if config.learning_rate is not None:
        fit = replace(fit, learning_rate=config.learning_rate)
    steps = config.iterations or (config.epochs or EPOCHS) * fit.epoch(samples)
    return replace(fit, steps=steps)
