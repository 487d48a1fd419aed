"""``autoprune.train``: the command from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.result import Trained
from autoprune.commands.train.run import run_train
from autoprune.foundation.config import from_options
from autoprune.foundation.logged import progress_of
from autoprune.foundation.progress import Progress


def train(
    model: str | None = None,
    data: str = "digits",
    *,
    epochs: int | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
    **options: Any,
) -> Trained:
    """Train a network from scratch or from given weights, as ``autoprune train`` does.

    - ``model``, ``data``: specs as the command takes them: names, ``file.py:function``, ...
    - ``epochs``: passes over the training split, by default the network's recipe.
    - ``seed`` of weights and batches.
    - ``run``: directory of the run, by default in ``logs``, which the same call continues;
      ``fresh``: start over.
    - ``progress``: False shows none; the logger ``autoprune`` hears of it in any case.
    - ``options``: all others of ``autoprune train --help``, with underscores: ``weights``,
      ``task``, ``score``, ``class_weights``, ``resize``, ``steps``, ``batch_size``, ``optimizer``,
      ``learning_rate``, ``weight_decay``, ``label_smoothing``, ``precision``, ``device``,
      ``threads``.

    Raises AutopruneError for whatever can be mended.
    """
    named = {"model": model, "data": data, "epochs": epochs, "seed": seed, "run": run}
    config = from_options(TrainConfig, named | {"fresh": fresh} | options)
    return run_train(config, progress_of(progress))
