"""``autoprune.ticket``: the command from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoprune.commands.ticket.config import TicketConfig
from autoprune.commands.ticket.run import run_ticket
from autoprune.foundation.config import from_options
from autoprune.foundation.logged import progress_of
from autoprune.foundation.progress import Progress


def ticket(
    model: str | None = None,
    data: str = "digits",
    *,
    levels: int = 5,
    rate: float = 0.2,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
    **options: Any,
) -> dict[str, Any]:
    """Find lottery tickets, as ``autoprune ticket`` does; return what ``result.json`` holds.

    - ``model``, ``data``: specs as the command takes them, by default lenet-300-100 on digits.
    - ``levels``: rounds of pruning, each with a training; ``rate``: fraction pruned at each.
    - ``run``: a finished search, whose mask is trained again, if there is no ``model``; else the
      directory of this run. ``fresh``: start over.
    - ``progress``: False shows none; the logger ``autoprune`` hears of it in any case.
    - ``options``: all others of ``autoprune ticket --help``, with underscores: ``scope``,
      ``one_shot``, ``early``, ``seeds``, ``run_dir``, ``workers``, ``device``, ...

    Raises AutopruneError for whatever can be mended.
    """
    named = {"model": model, "data": data, "levels": levels, "rate": rate, "run": run}
    config = from_options(TicketConfig, named | {"fresh": fresh} | options)
    return run_ticket(config, progress_of(progress))
