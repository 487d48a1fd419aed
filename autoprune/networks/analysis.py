"""Analysis of a network on a task: the outputs that the task reads are those that count."""

from __future__ import annotations

from typing import Any

from torch import nn

from autoprune.data.task import Task, read_outputs
from autoprune.structure.analyze import analyze
from autoprune.structure.graph import trial
from autoprune.structure.outputs import present
from autoprune.structure.table import Structure


def analyze_for(
    task: Task,
    model: nn.Module,
    example_inputs: Any,
    outputs: tuple[str, ...] = (),
    sizes: tuple[str, ...] = (),
) -> Structure:
    """Analyze a network; of its outputs count ``outputs``, else those that the task reads.

    ``sizes`` are further ints that follow the plan. A task may name more than one network has.
    Raises UsageError as ``analyze`` does.
    """
    known = () if outputs else read_outputs(task)
    if known:
        outputs = present(trial(model, example_inputs), known)
    return analyze(model, example_inputs, outputs=outputs, sizes=sizes)
