"""Message about damaged files of a run, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from autoprune.foundation.progress import Progress
from autoprune.runs.artifacts import STATE


def note_damage(progress: Progress, damaged: Sequence[str]) -> None:
    """Say which files of a run are made anew, if any, and which states of trainings are lost."""
    states = [name for name in damaged if name.endswith(STATE)]
    anew = [name for name in damaged if name not in states]
    if anew:
        progress.note(f"missing or damaged, made anew: {', '.join(anew)}")
    if states:
        progress.note(
            f"missing or damaged: {', '.join(states)}; its training goes on from an older state,"
            " or begins again, and ends in the same bits"
        )
