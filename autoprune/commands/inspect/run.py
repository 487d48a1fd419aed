"""Entry of ``autoprune inspect``."""

from __future__ import annotations

from autoprune.commands.inspect.config import InspectConfig
from autoprune.commands.inspect.result import Inspection
from autoprune.data import load_data
from autoprune.data.named_task import resolve_task
from autoprune.foundation.progress import Progress
from autoprune.networks.analysis import analyze_for
from autoprune.networks.spec import resolve_model
from autoprune.networks.weights import load_weights


def run_inspect(config: InspectConfig, progress: Progress) -> Inspection:
    """Carry out ``autoprune inspect``; raises AutopruneError for errors that a user can fix."""
    with progress.phase("inspect", 1) as phase:
        task = resolve_task(config.task)
        data = load_data(config.data, resize=config.resize)
        model = resolve_model(str(config.model), data)
        if config.weights is not None:
            load_weights(model, config.weights)
        structure = analyze_for(task, model, data.example(task), config.outputs, config.sizes)
        inspection = Inspection.of(structure, model=str(config.model), data=config.data)
        phase.advance()
    return inspection
