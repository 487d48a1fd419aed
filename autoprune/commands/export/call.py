"""``autoprune.export``: the command from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoprune.commands.export.config import ExportConfig, ExportForm
from autoprune.commands.export.result import Exported
from autoprune.commands.export.run import run_export
from autoprune.foundation.config import from_options
from autoprune.foundation.logged import progress_of
from autoprune.foundation.progress import Progress


def export(
    run: str | Path,
    to: ExportForm,
    *,
    output: str | Path | None = None,
    progress: bool | Progress | None = True,
    **options: Any,
) -> Exported:
    """Write the network of a run for other programs, checked against PyTorch on real inputs.

    - ``run``: directory of a finished run.
    - ``to``: ``onnx`` (needs the extra [onnx]), ``pt2`` (torch.export), ``safetensors``, or
      ``transformers``, of a model of that library.
    - ``output``: file to write, a directory for the last two; by default inside the run.
    - ``progress``: False shows none; the logger ``autoprune`` hears of it in any case.
    - ``options``: all others of ``autoprune export --help``: specs ``model``, ``data``, ``task``
      for a run of live objects, and ``resize``.

    Raises AutopruneError for whatever can be mended.
    """
    config = from_options(ExportConfig, {"run": run, "to": to, "output": output} | options)
    return run_export(config, progress_of(progress))
