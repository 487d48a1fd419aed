"""``autoprune.match``: the command from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from autoprune.commands.match.config import MatchConfig
from autoprune.commands.match.result import Matched
from autoprune.commands.match.run import run_match
from autoprune.errors import UsageError
from autoprune.foundation.config import from_options
from autoprune.foundation.logged import progress_of
from autoprune.foundation.progress import Progress


def match(
    run: str | Path,
    match: str = "5",
    *,
    dense: nn.Module | None = None,
    unlabeled: str | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
    **options: Any,
) -> Matched:
    """Teach the network of a run what its dense network computes, without labels.

    - ``run``: directory of a run with a compact network, which is not changed.
    - ``match``: minutes, as ``"5"``, or ``"300steps"``.
    - ``dense``: the trained dense network, for a run that was given a live object.
    - ``unlabeled``: name of the samples to match on, by default those of training.
    - ``fresh``: start over. ``progress``: False shows none; the logger ``autoprune`` hears of it
      in any case.
    - ``options``: all others of ``autoprune match --help``, with underscores: ``teacher``,
      ``model``, ``data``, ``task``, ``resize``, ``seed``, ``device``, ``run_dir``, ...

    The same call continues its run. Returns a Matched, with the network as ``model``. Raises
    AutopruneError for whatever can be mended.
    """
    if dense is not None and not isinstance(dense, nn.Module):
        kind = type(dense).__name__
        raise UsageError(f"dense is {kind}, not an nn.Module", "pass the trained dense network")
    named = {"run": run, "match": match, "unlabeled": unlabeled, "fresh": fresh}
    config = from_options(MatchConfig, named | options)
    return run_match(config, progress_of(progress), dense)
