"""Note about the damaged files of a run."""

from __future__ import annotations

from collections.abc import Sequence

from autoprune.foundation.progress import Progress
from autoprune.runs.artifacts import STATE


def note_damage(progress: Progress, damaged: Sequence[str]) -> None:
    """Report the files of a run that are recreated, if any, and the checkpoints that are lost."""
    states = [name for name in damaged if name.endswith(STATE)]
    recreated = [name for name in damaged if name not in states]
    if recreated:
        progress.note(f"recreating missing or damaged files: {', '.join(recreated)}")
    if states:
        progress.note(
            f"missing or damaged: {', '.join(states)}; its training goes on from an older state,"
            " or begins again, and ends in the same bits"
        )
