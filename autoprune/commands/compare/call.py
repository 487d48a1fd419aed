"""``autoprune.compare``: the command from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoprune.commands.compare.config import CompareConfig
from autoprune.commands.compare.result import Comparison
from autoprune.commands.compare.run import run_compare
from autoprune.foundation.config import from_options
from autoprune.foundation.logged import progress_of
from autoprune.foundation.progress import Progress


def compare(
    model: str | None = None,
    data: str = "digits",
    budget: str = "0.5flops",
    *,
    agents: Sequence[str] = ("uniform", "random", "dp", "evolution", "ddpg"),
    evaluations: int = 100,
    seeds: int = 5,
    finetune_epochs: int = 2,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
    **options: Any,
) -> Comparison:
    """Run several searchers on equal evaluations, over several seeds, as ``autoprune compare``.

    - ``model``, ``data``: specs as the command takes them: names, ``file.py:function``, ...
    - ``budget``: ``0.5flops``, ``60Mmacs``, ...; ``agents``: names of searchers, plug-ins too.
    - ``evaluations``: plans that each may try; ``seeds``: searches of each agent.
    - ``finetune_epochs``: epochs of training after pruning, the same for all.
    - ``run``: directory of the run, by default in ``logs``, which the same call continues;
      ``fresh``: start over.
    - ``progress``: False shows none; the logger ``autoprune`` hears of it in any case.
    - ``options``: all others of ``autoprune compare --help``, with underscores: ``budgets``,
      ``ranking``, ``granularity``, ``keep``, ``only``, ``seed``, ``device``, ``workers``, ...

    Raises AutopruneError for whatever can be mended.
    """
    named = {
        "model": model,
        "data": data,
        "budget": budget,
        "agents": tuple(agents),
        "evaluations": evaluations,
        "seeds": seeds,
        "finetune_epochs": finetune_epochs,
        "run": run,
        "fresh": fresh,
    }
    config = from_options(CompareConfig, named | options)
    return run_compare(config, progress_of(progress))
