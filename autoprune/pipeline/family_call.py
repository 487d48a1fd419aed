"""``autoprune.family``: several budgets from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from autoprune.foundation.config import from_options
from autoprune.foundation.logged import progress_of
from autoprune.foundation.progress import Progress, shown_by
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.family import Family, execute_family
from autoprune.pipeline.search import check_asked, find_by_agent, with_caller_inputs


def family(
    model: nn.Module | str,
    data: object,
    budgets: str | Sequence[str],
    *,
    task: object = "classification",
    agent: str = "ddpg",
    evaluations: int = 100,
    finetune_epochs: int = 10,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
    **options: Any,
) -> Family:
    """Find a network for each of several budgets, from one ranking and searches that share.

    - ``model``, ``data``, ``task``: as :func:`autoprune.search` takes them.
    - ``budgets``: as ``["0.3flops", "0.5flops"]``; the limits of one joined by ``+``.
    - ``agent``: name of a searcher. ``evaluations``: plans that it may try at the budget in the
      middle; the others share as many once more.
    - ``finetune_epochs``: epochs after pruning, of each network; 0 leaves fine-tuning out.
    - ``run``: directory of the run, by default in ``logs``, which the same call continues;
      ``fresh``: start over.
    - ``progress``: False shows none; the logger ``autoprune`` hears of it in any case.
    - ``options``: all others of ``autoprune search --help``, with underscores: ``keep``, ``match``,
      ``ranking``, ``granularity``, ``align``, ``depth``, ``seed``, ``device``, ...

    Returns a Family: ``results``, the largest first, and ``front``. Raises AutopruneError for
    whatever can be mended.
    """
    listed = budgets.split(",") if isinstance(budgets, str) else budgets
    named: dict[str, Any] = {
        "budgets": ",".join(text.replace(",", "+") for text in listed),
        "agent": agent,
        "evaluations": evaluations,
        "finetune_epochs": finetune_epochs,
        "workers": 1,
        "run": run,
        "fresh": fresh,
    }
    config = from_options(SearchConfig, named | options)
    shown = progress_of(progress)
    with shown_by(shown.phase):
        check_asked(config)
        inputs, config = with_caller_inputs(model, data, task, config)
        return execute_family(inputs, config, shown, find_by_agent)
