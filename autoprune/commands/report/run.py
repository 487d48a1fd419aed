"""Entry of ``autoprune report``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from autoprune.commands.report.config import ReportConfig
from autoprune.commands.report.plot import draw_status
from autoprune.commands.report.result import Report
from autoprune.commands.report.status import as_written, read_status
from autoprune.commands.report.view import status_view
from autoprune.foundation.progress import Progress

Views = Mapping[str, Callable[[Mapping[str, Any]], RenderableType]]
"""What shows the content of ``result.json``, by name of the command that wrote it."""


def run_report(config: ReportConfig, progress: Progress, *, views: Views) -> Report:
    """Carry out ``autoprune report``; raises AutopruneError for errors that a user can fix."""
    del progress
    status = read_status(Path(config.run))
    # Also the view is made here: a result of a strange shape is refused with --json as well.
    with as_written(status.run):
        if config.plot is not None:
            draw_status(status, Path(config.plot))
        facts = status.to_json()
        result, show = status.result, views.get(status.command)
        view = status_view(facts) if result is None or show is None else show(result)
    return Report(facts, view)
